"""THE CONFIGURATION: every setting of the service, its default and its meaning.

A setting is an environment variable, or a file of that name in the secrets folder, or a line in
``foundry-rollouts.toml``; the first that is there counts. Nothing else in the package reads the environment. Come in
through ``load``; ``fields.py`` holds the settings, ``listing.py`` what documentation shows of them.
"""

from foundry_rollouts.settings.access import AccessSettings
from foundry_rollouts.settings.addresses import loopback_address
from foundry_rollouts.settings.database import PREFIX, SECRETS_DIR, TOML_FILE, DatabaseSettings
from foundry_rollouts.settings.entra import EntraSettings
from foundry_rollouts.settings.fields import Settings
from foundry_rollouts.settings.listing import Setting, reference
from foundry_rollouts.settings.projects import Project
from foundry_rollouts.settings.reading import load, load_database_url
from foundry_rollouts.settings.tracing import WantedTraces, wanted_traces
from foundry_rollouts.settings.webhook import WebhookSettings

__all__ = [
    "PREFIX",
    "SECRETS_DIR",
    "TOML_FILE",
    "AccessSettings",
    "DatabaseSettings",
    "EntraSettings",
    "Project",
    "Setting",
    "Settings",
    "WantedTraces",
    "WebhookSettings",
    "load",
    "load_database_url",
    "loopback_address",
    "reference",
    "wanted_traces",
]
