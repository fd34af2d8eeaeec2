"""Which way a target is reached: by a chat, or by a mark on a dashboard."""

from datetime import timedelta

from foundry_rollouts.notify.announcer import Voice
from foundry_rollouts.notify.chat import Chat
from foundry_rollouts.notify.marks import ApplicationInsights, GitHub, Grafana
from foundry_rollouts.notify.targets import Target


def voice_of(target: Target, limit: timedelta) -> Voice:
    """Return what reaches ``target``."""
    url = target.url.rstrip("/")
    match target.mark:
        case "grafana":
            return Grafana(url, target.token, limit)
        case "github":
            return GitHub(url, target.token, limit, target.path, target.ref)
        case "application-insights":
            return ApplicationInsights(url, target.token, limit, target.path)
        case _:
            return Chat(target.url, limit)
