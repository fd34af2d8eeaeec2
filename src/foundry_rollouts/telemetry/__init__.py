"""What the controller tells of itself: log lines, metrics and traces; open to every room."""

from foundry_rollouts.telemetry.logs import LogFormat, configure_logging
from foundry_rollouts.telemetry.metrics import Metrics
from foundry_rollouts.telemetry.service_metrics import Delivery, Problem

__all__ = ["Delivery", "LogFormat", "Metrics", "Problem", "configure_logging"]
