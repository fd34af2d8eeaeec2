"""What a receiver gets: the event, in an envelope that says what it is, and a signature.

The body is a CloudEvent in JSON (CloudEvents 1.0, structured mode) and depends on the event alone, so that a message
that is sent twice is the same bytes under the same id. The signature is that of Standard Webhooks.
"""

import hmac
import json
from base64 import b64encode
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from pydantic import TypeAdapter

from foundry_rollouts.core.model.event import Event
from foundry_rollouts.ports import Message

CONTENT_TYPE = "application/cloudevents+json"
#: Before the kind of the event, so that it is known among the events of others.
TYPE_PREFIX = "foundry-rollouts."

_EVENT = TypeAdapter(Event)


@dataclass(frozen=True, slots=True)
class CloudEvent:
    """One message as it is sent; its receiver drops what comes under the same id again."""

    id: str
    body: bytes


def cloudevent_of(message: Message, source: str) -> CloudEvent:
    """Return what is sent for ``message`` by the service that manages the project ``source``."""
    event = message.event
    # Ids of events are as long as sentences and as free; a header takes neither.
    id = "msg_" + sha256(f"{source}\n{event.id}".encode()).hexdigest()[:32]  # noqa: A001 - the word of the standard
    data = _EVENT.dump_python(event, mode="json")
    data["for"] = data.pop("waits_for")  # No field of ours can have the name that receivers know it by.
    envelope = {
        "specversion": "1.0",
        "id": id,
        "source": source,
        "type": TYPE_PREFIX + event.kind,
        "subject": event.agent,
        "time": data["at"],
        "datacontenttype": "application/json",
        "sequence": f"{message.number:020}",
        "data": data,
    }
    return CloudEvent(id, json.dumps(envelope, separators=(",", ":")).encode())


def headers_of(cloudevent: CloudEvent, sent_at: datetime, key: bytes | None) -> dict[str, str]:
    """Return the headers that go with ``cloudevent``; without a key it is not signed."""
    seconds = str(int(sent_at.timestamp()))
    headers = {"Content-Type": CONTENT_TYPE, "webhook-id": cloudevent.id, "webhook-timestamp": seconds}
    if key is not None:
        signed = b".".join((cloudevent.id.encode(), seconds.encode(), cloudevent.body))
        headers["webhook-signature"] = "v1," + b64encode(hmac.digest(key, signed, "sha256")).decode()
    return headers
