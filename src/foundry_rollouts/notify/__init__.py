"""NOTIFICATIONS: sends the messages of the outbox to the receiver.

``dispatcher.py`` holds them, tries again and gives up; ``cloudevent.py`` is what is said; ``webhook.py`` says it over
HTTP, and nothing else here knows httpx. Only ``wiring`` comes in; everybody else leaves a message with an event.
"""
