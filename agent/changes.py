"""Small pure conversions between candidates and patches."""

from tools.types import Candidate, FileChange, FileReader, Patch


def as_patch(candidate: Candidate, source: bytes) -> Patch:
    """A candidate applied to its file; line ends of the file are kept."""
    lines = source.splitlines(keepends=True)
    newline = b"\r\n" if lines and lines[0].endswith(b"\r\n") else b"\n"
    after = candidate.after.encode("utf-8", "surrogateescape")
    body = [line.rstrip(b"\r\n") + newline for line in after.splitlines(keepends=True)]
    old = lines[candidate.line - 1 : candidate.end_line]
    if body and old and not old[-1].endswith(b"\n"):
        body[-1] = body[-1].rstrip(b"\r\n")  # the file's last line had no newline
    new = lines[: candidate.line - 1] + body + lines[candidate.end_line :]
    change = FileChange(path=candidate.path, before=source, after=b"".join(new))
    return Patch(changes=(change,))


def inverse(patch: Patch) -> Patch:
    """The patch that takes another back."""
    return Patch(
        changes=tuple(
            FileChange(path=c.path, before=c.after, after=c.before, mode=c.mode)
            for c in patch.changes
        )
    )


def restore_to(paths: tuple[str, ...], earlier: dict[str, bytes | None], read: FileReader) -> Patch:
    """The patch that brings `paths` back to their earlier contents."""
    return Patch(
        changes=tuple(
            FileChange(path=p, before=read(p), after=earlier[p])
            for p in paths
            if read(p) != earlier[p]
        )
    )


def as_candidate(patch: Patch, *, operator: str, tier: int, suspicion: float) -> Candidate | None:
    """A one-file patch as the hull of its changed lines; None when it is not one-file."""
    if len(patch.changes) != 1:
        return None
    change = patch.changes[0]
    if change.before is None or change.after is None:
        return None
    old = change.before.splitlines(keepends=True)
    new = change.after.splitlines(keepends=True)
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    if head == len(old):  # pure addition at the end: anchor it on the last line
        head = max(0, head - 1)
    if head + tail >= len(old):
        tail = max(0, tail - 1)  # an insertion: take one unchanged line into the hull
    return Candidate(
        path=change.path,
        line=head + 1,
        end_line=len(old) - tail,
        before=_text(old[head : len(old) - tail]),
        after=_text(new[head : len(new) - tail]),
        operator=operator,
        tier=tier,
        suspicion=suspicion,
    )


def _text(lines: list[bytes]) -> str:
    return b"".join(lines).decode("utf-8", "surrogateescape")
