"""What every test relies on."""

from hypothesis import HealthCheck, settings

from plain_logs import log_plainly

# A shared machine may be slow for a second; that says nothing about the code.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

log_plainly()
