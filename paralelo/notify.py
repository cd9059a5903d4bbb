"""Telling people: Telegram, e-mail, webhooks and whatever else Apprise knows, by URLs from the environment."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

from sync_rules.exits import ConfigurationError, SyncError

from paralelo import project
from paralelo.redact import Redactor, redactor, secrets
from paralelo.supervise import Event
from paralelo.view import counted

URLS = "PARALELO_NOTIFY_URLS"
WHEN = "PARALELO_NOTIFY_ON"
OCCASIONS = ("failure", "recovery", "success")
DEFAULT_OCCASIONS = frozenset({"failure", "recovery"})
_OF_KIND = {"failed": "failure", "recovering": "recovery", "finished": "success"}
_TYPES = {"failure": "failure", "recovery": "warning", "success": "success"}
"""By occasion: Apprise's name for how bad it is."""
Sender = Callable[[str, str, str], "bool | None"]
"""Takes title, text and type; False where it could not be sent."""


@dataclass
class Notifier:
    """Sends notices, to each address from a thread of its own: a slow mail server holds up no sync and no other."""

    senders: Sequence[Sender]
    occasions: frozenset[str]
    redact: Redactor
    tell_trouble: Callable[[str], None] = lambda _: None
    _threads: list[threading.Thread] = field(default_factory=list)

    def about(self, event: Event) -> None:
        """Send a notice of this event, if anyone wants one. A schedule's overlap is no event for anyone."""
        occasion = _OF_KIND.get(event.kind)
        if occasion not in self.occasions or event.refused:
            return
        title, body = worded(event)
        for send in self.senders:
            words = (send, title, self.redact(body), _TYPES[occasion])
            thread = threading.Thread(target=self._send, args=words, daemon=True)
            self._threads.append(thread)
            thread.start()

    def _send(self, send: Sender, title: str, body: str, kind: str) -> None:
        try:
            sent = send(title, body, kind)
        except Exception as error:
            self.tell_trouble(self.redact(f"a notice could not be sent: {error}"))
            return
        if sent is False:
            self.tell_trouble(f"a notice could not be sent to everyone in {URLS}")

    def finish(self, seconds: float = 20.0) -> None:
        """Wait for notices under way, at most that long for all of them: a server that drips is slow for each."""
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(timeout=max(0.0, until - time.monotonic()))
        if any(thread.is_alive() for thread in self._threads):
            self.tell_trouble(f"a notice was still under way after {seconds:g} seconds, and is not waited for")


def from_settings(settings: Mapping[str, str], redact: Redactor, tell_trouble: Callable[[str], None]) -> Notifier:
    """The notifier that the environment asks for. Raises ConfigurationError for what cannot be understood."""
    occasions = frozenset(settings.get(WHEN, "").replace(",", " ").split()) or DEFAULT_OCCASIONS
    if unknown := occasions - set(OCCASIONS):
        raise ConfigurationError(f"{WHEN} has {', '.join(sorted(unknown))}; it takes {', '.join(OCCASIONS)}")
    addresses = settings.get(URLS, "").split()
    if not addresses:
        return Notifier((), frozenset(), redact, tell_trouble)
    try:
        import apprise
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"{URLS} is set and Apprise is not installed: pip install apprise") from error
    # Apprise logs URLs, which hold tokens.
    logging.getLogger("apprise").setLevel(logging.CRITICAL)
    # Without its redirects: a notice goes there without its text, and passes for sent. Without its time-out, and one
    # address at a time: it would use threads that Python waits for at its end, however long a server drips.
    asset = apprise.AppriseAsset(http_redirects=False, service_timeout=0)
    services = apprise.Apprise(asset=asset)
    for number, url in enumerate(addresses, start=1):
        if not services.add(url):
            raise ConfigurationError(f"address {number} in {URLS} is none that Apprise understands")

    def send(service: apprise.Apprise, title: str, body: str, kind: str) -> bool:
        # As text: taken for HTML, which Telegram asks for, a "<" or "&" would have it refused.
        sent = service.notify(body, title, apprise.NotifyType(kind), body_format=apprise.NotifyFormat.TEXT)
        return bool(sent)

    senders = [partial(send, apprise.Apprise(one, asset=asset)) for one in services]
    return Notifier(senders, occasions, redact, tell_trouble)


@contextmanager
def of_settings(table: str, mode: str) -> Iterator[None]:
    """Sends the notice of a failure for settings that end a run before its syncs begin. It is all that a schedule's
    owner hears of it: no table has a supervisor yet, and the history may be what cannot be reached."""
    try:
        yield
    except ConfigurationError as error:
        settings: Mapping[str, str] = os.environ
        with suppress(SyncError, OSError):
            settings = project.settings()
        with suppress(ConfigurationError):  # the notices' own settings may be what is wrong
            notifier = from_settings(settings, redactor(secrets(settings)), lambda _: None)
            what = "all tables" if table == "all" else table
            notifier.about(Event("failed", what, mode, 0, str(error), error.exit))
            notifier.finish()
        raise


def worded(event: Event) -> tuple[str, str]:
    """A notice's title and text."""
    what = f"{event.mode} sync of {event.table}"
    if event.kind == "failed":
        code = f" (exit {int(event.exit)})" if event.exit is not None else ""
        when = f"after {counted(event.attempt, 'attempt', 'attempts')}" if event.attempt else "before the first attempt"
        return f"Paralelo: {what} failed", f"{event.reason}{code}, {when}."
    if event.kind == "recovering":
        pause = counted(round(event.pause), "second", "seconds") if event.pause else "no pause"
        return f"Paralelo: {what} is restarted", f"{event.reason}. Attempt {event.attempt} begins after {pause}."
    return f"Paralelo: {what} finished", f"After {counted(event.attempt, 'attempt', 'attempts')}."
