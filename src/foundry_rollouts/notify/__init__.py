"""WHO IS TOLD: sends the messages of the outbox to whoever asked to be told.

``courier.py`` takes them in hand, tries again and gives up; ``letter.py`` is what is said; ``webhook.py`` says it over
HTTP, and nothing else here knows httpx. Only ``wiring`` comes in; everybody else leaves a message with an event.
"""
