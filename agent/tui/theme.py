"""The colours. None carries meaning alone: signs and words say the same."""

from rich.terminal_theme import TerminalTheme
from textual.theme import Theme

__all__ = ["ANSI", "THEME"]

THEME = Theme(
    name="pointsman",
    primary="#5fafd7",
    secondary="#8787af",
    accent="#d7af5f",
    foreground="#d0d0d0",
    background="#16181d",
    surface="#1f232b",
    panel="#272c36",
    success="#87af5f",
    warning="#d7af5f",
    error="#d75f5f",
    dark=True,
    variables={
        "scrollbar": "#3b4351",
        "scrollbar-hover": "#5fafd7",
        "scrollbar-active": "#5fafd7",
        "scrollbar-background": "#1b1e24",
        "scrollbar-background-hover": "#1b1e24",
        "scrollbar-background-active": "#1b1e24",
    },
)

_RED, _GREEN, _YELLOW, _BLUE, _MAGENTA, _CYAN = (
    (224, 108, 102),
    (152, 190, 101),
    (222, 181, 98),
    (95, 175, 215),
    (180, 142, 200),
    (112, 178, 198),
)
_COLOURS = [_RED, _GREEN, _YELLOW, _BLUE, _MAGENTA, _CYAN]
ANSI = TerminalTheme(
    (22, 24, 29),
    (208, 208, 208),
    [(39, 44, 54), *_COLOURS, (208, 208, 208)],
    [(120, 126, 138), *_COLOURS, (255, 255, 255)],
)
"""What `red`, `green`, … of the transcript's wording look like here."""
