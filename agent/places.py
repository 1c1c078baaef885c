"""The inference portfolio: which locations there are, what serves them, what they can do."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from agent import paths
from agent.config import Settings
from agent.context import edit_format_of
from agent.errors import BudgetExceeded, ConfigError, PointsmanError, PolicyError
from agent.types import Endpoint, Location, Provider, Route, StepKind
from agent.work import Ask, ModelFacts

if TYPE_CHECKING:
    from agent.ledger import Ledger
    from agent.router import Place, Policy

MINI_STEPS: frozenset[StepKind] = frozenset(("edit", "repair"))
"""What the shipped model was trained for."""
BEAM = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalModel:
    """The GGUF that serves the location `local`."""

    name: str
    path: Path
    window: int


class Places:
    """Providers by location, made when first asked for."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._made: dict[Location, Provider] | None = None
        self._notices: SimpleQueue[str] = SimpleQueue()

    @classmethod
    def replayed(cls, settings: Settings, recorded: "Sequence[Place]") -> "Places":
        """The places of a recorded run. They answer nothing: the recording does."""
        from agent.providers.scripted import ScriptedProvider

        places = cls(settings)
        places._made = {
            p.location: ScriptedProvider(
                (),
                name=p.provider,
                model=p.model,
                location=p.location,
                context_window=p.context_window,
            )
            for p in recorded
        }
        return places

    @cached_property
    def local_model(self) -> LocalModel | None:
        """The local model of the settings; None when there is none.

        Raises ConfigError for a model that is not installed.
        """
        from agent import models

        name = self._settings.local_model
        if name == "none":
            return None
        path = models.resolve(name, paths.models_dir())
        if path is None:
            if name == "mini":
                return None
            raise ConfigError(
                f"the local model {name!r} is not installed", remedy="agent models list"
            )
        info = models.inspect(path)
        shown = path.stem if name.endswith(".gguf") else name
        return LocalModel(
            name=shown, path=path, window=min(info.context, self._settings.local_context)
        )

    def providers(self) -> Mapping[Location, Provider]:
        if self._made is None:
            made = (self._local(), self._onprem(), self._frontier())
            self._made = {p.location: p for p in made if p is not None}
        return self._made

    def facts(self, location: Location) -> ModelFacts:
        """What the loop must know of the model at a location."""
        provider = self.providers()[location]
        edit_format = edit_format_of(provider.model, provider.context_window)
        return ModelFacts(
            name=provider.model,
            window=provider.context_window,
            edit_format=edit_format,
            beam=BEAM if edit_format == "line" else 0,
            strategy=self._settings.local_strategy,
        )

    def places(self) -> tuple["Place", ...]:
        """The portfolio as the router sees it."""
        from agent.router import ALL_STEPS, Place

        return tuple(
            Place(
                location=location,
                provider=p.name,
                model=p.model,
                context_window=p.context_window,
                capable=MINI_STEPS if self.facts(location).edit_format == "line" else ALL_STEPS,
                paid=location == "frontier",
            )
            for location, p in self.providers().items()
        )

    def check(self) -> None:
        """Whether the settings can work at all: asked before anything is done.

        Raises PolicyError, BudgetExceeded, or ConfigError for a model nobody has heard of.
        """
        s = self._settings
        paid = s.frontier != "off" and not s.local_only
        if s.frontier == "require" and not s.anthropic_api_key:
            raise PolicyError(
                "the paid API is required, but there is no key", remedy="export ANTHROPIC_API_KEY=…"
            )
        if s.frontier == "require" and s.max_cost_usd_micro == 0:
            raise _no_budget()
        if paid and s.anthropic_api_key:
            _known_price(s)

    def policy(self) -> "Policy":
        from agent.router import Policy

        s = self._settings
        mode = {"auto": "allowed", "require": "forced", "off": "never"}
        return Policy(local_only=s.local_only, frontier=mode[s.frontier])  # type: ignore[arg-type]

    def router(
        self, ledger: "Ledger", run_id: str
    ) -> Callable[[Ask, frozenset[Location], Location | None], Route]:
        """The pure router with this run's facts filled in."""
        from agent.router import Escalation, RoutingFacts, route

        limit = self._settings.max_cost_usd_micro

        def decide(ask: Ask, down: frozenset[Location], latched: Location | None) -> Route:
            facts = RoutingFacts(
                places=self.places(),
                down=down,
                privacy=ask.privacy,
                policy=self.policy(),
                budget_left_usd_micro=None if limit is None else limit - ledger.used("run", run_id),
                prompt_tokens=ask.prompt_tokens,
                history=ledger.history(),
                escalation=Escalation(failures=ask.failures, latched=latched),
            )
            chosen = route(ask.step_kind, facts=facts)
            if chosen.location is None and facts.policy.frontier == "forced":
                raise _forced(chosen, facts.budget_left_usd_micro)
            return chosen

        return decide

    def _local(self) -> Provider | None:
        model = self.local_model
        if model is None:
            return None
        from agent.providers.openai_compatible import OpenAICompatibleProvider

        return OpenAICompatibleProvider(
            name="worker",
            model=model.name,
            location="local",
            context_window=model.window,
            endpoint=lambda: self._worker(model),
            dialect="pointsman",
        )

    def local_endpoint(self) -> Endpoint | None:
        """The local model's worker, started where it is not running; None without such a model."""
        return None if self.local_model is None else self._worker(self.local_model)

    def notices(self) -> Iterator[str]:
        """What befell the local model's worker since this was last asked: why it was restarted."""
        while True:
            try:
                yield self._notices.get_nowait()
            except Empty:
                return

    def _worker(self, model: LocalModel) -> Endpoint:
        from agent.serve.supervise import ensure_worker

        return ensure_worker(
            model.path,
            runtime_dir=paths.runtime_dir(),
            context=model.window,
            threads=self._settings.local_threads,
            idle_s=self._settings.worker_idle_s,
            kv=self._settings.local_kv,
            decisions=paths.decisions_file() if self._settings.record_decisions else None,
            notify=self._notices.put,
        )

    def _onprem(self) -> Provider | None:
        s = self._settings
        if s.onprem_url is None or s.local_only:
            return None
        from agent.providers.openai_compatible import OpenAICompatibleProvider

        url = s.onprem_url
        return OpenAICompatibleProvider(
            name="onprem",
            model=s.onprem_model or "default",
            location="onprem",
            context_window=32_768,
            endpoint=lambda: Endpoint(base_url=url, api_key=s.onprem_api_key),
        )

    def _frontier(self) -> Provider | None:
        s = self._settings
        if s.anthropic_api_key is None or s.frontier == "off" or s.local_only:
            return None
        from agent.prices import context_window
        from agent.providers.anthropic import AnthropicProvider

        return AnthropicProvider(
            model=s.frontier_model,
            api_key=s.anthropic_api_key,
            base_url=s.anthropic_base_url or "https://api.anthropic.com",
            context_window=context_window(s.frontier_model) or 200_000,
        )


def _no_budget() -> BudgetExceeded:
    return BudgetExceeded(
        "the paid API is required, and no budget is left",
        remedy="raise it with --max-cost DOLLARS, or leave out --frontier",
    )


def _known_price(s: Settings) -> None:
    """A model without a price is a typing error or needs one: no budget could hold it."""
    from datetime import UTC, datetime

    from agent.config import price_overrides
    from agent.prices import DEFAULT_FRONTIER, Prices

    budgets = (s.max_cost_usd_micro, s.max_cost_day_usd_micro, s.max_cost_month_usd_micro)
    if all(limit is None for limit in budgets):
        return
    prices = Prices(price_overrides(s.prices))
    if prices.worst_case(s.frontier_model, 1, 1, at=datetime.now(UTC)) is None:
        raise ConfigError(
            f"unknown model {s.frontier_model!r}: it has no price, so no budget can hold it",
            remedy=f"--frontier-model {DEFAULT_FRONTIER}, or give it a price in the configuration"
            " (agent config)",
        )


def _forced(chosen: Route, left: int | None) -> PointsmanError:
    """`--frontier` and the frontier cannot be used: the user decides, not we."""
    if left is not None and left <= 0:
        return _no_budget()
    return PolicyError(chosen.reason, remedy="export ANTHROPIC_API_KEY=…, or leave out --frontier")
