"""What every test relies on."""

from hypothesis import HealthCheck, settings

# A shared machine may be slow for a second; that says nothing about the code.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")
