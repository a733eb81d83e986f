"""The loop at a customer's: readings come by MQTT, a set-point goes at every boundary of the clock.

One connection serves any number of customers. All messages have quality of service 1.

    gridedge/readings                 in   `Readings` as JSON for all customers: prices, weather
    gridedge/<customer>/readings      in   any of them, at any time
    gridedge/<customer>/faults        out  JSON: what of a message cannot be used, and why
    gridedge/faults                   out  likewise, of one for all customers
    gridedge/<customer>/set_point     out  `SetPoint` as JSON, retained
    gridedge/<first>/availability     out  "online" or "offline", retained; the last will
    homeassistant/device/<id>/config  out  how Home Assistant finds the set-points, retained
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from urllib.parse import urlsplit

from paho.mqtt.client import Client, MQTTMessage, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from gridedge_gateway.customer import Customer, log
from gridedge_gateway.readings import Readings, legible, the_first

QUALITY = 1
FOR_ALL = "gridedge/readings"
# Seconds: how often the clock is looked at, which may be put right at any time; until a broker
# counts a connection as lost; the longest wait before the next try; the longest farewell.
LOOK, KEEP_ALIVE, LONGEST_PAUSE, FAREWELL = 1.0, 30, 60, 5.0
# A connection is short that is lost within so many seconds; so many in a row have a cause that
# stays.
SHORT, MOST_SHORT = 2.0 * LONGEST_PAUSE, 3
# Seconds after a boundary that a step may be put off: what it is told should still be of use.
LONGEST_WAIT = 600.0
# Bytes: prices of two days in quarter-hours are 8,000.
LONGEST_MESSAGE = 1_000_000
# A message that the broker kept, and that does not say its time, can be of any age.
LONG_AGO = timedelta(days=30)
# A clock that was never set shows 1970.
FIRST_DAY = datetime(2001, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Broker:
    """Where a broker is, and what it lets in.

    Attributes:
        host, port: of it.
        encrypted: by TLS.
        user, password: or None.
        authority: file of the certificates that it is trusted by; None: the system's.
        certificate, private_key: files by which this gateway is known to it, or None.

    Raises:
        ValueError: what counts for nothing without something else, or a file that is not there.
    """

    host: str
    port: int
    encrypted: bool
    user: str | None = None
    password: str | None = None
    authority: str | None = None
    certificate: str | None = None
    private_key: str | None = None

    def __post_init__(self) -> None:
        if self.password is not None and self.user is None:
            raise ValueError("password_file: got one without a user, expected user, too")
        if self.private_key is not None and self.certificate is None:
            raise ValueError("private_key: got one without a certificate, expected both")
        for name in ("authority", "certificate", "private_key"):
            path = getattr(self, name)
            if path is not None and not self.encrypted:
                raise ValueError(f"{name}: got {path} for mqtt://, expected mqtts://")
            if path is not None and not Path(path).is_file():
                raise ValueError(f"{name}: got {path}, expected a file that is there")

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def client(self, name: str) -> Client:
        """A client that is not yet connected. The broker keeps for it what comes meanwhile.

        Raises:
            ValueError: files of certificates that are none.
        """
        client = Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=False)
        if self.user is not None:
            client.username_pw_set(self.user, self.password)
        if self.encrypted:
            try:
                client.tls_set(self.authority, self.certificate, self.private_key)
            except OSError as error:
                names = "authority, certificate, private_key"
                raise ValueError(f"{names}: got {error}, expected files in PEM") from error
        client.reconnect_delay_set(1, LONGEST_PAUSE)
        client.connect_async(self.host, self.port, KEEP_ALIVE)
        return client


def read_address(url: str) -> tuple[str, int, bool]:
    """Host, port and whether TLS is to be used, of mqtt://host:port or mqtts://host:port.

    Raises:
        ValueError: anything else.
    """
    if "@" in url:  # with a password, perhaps, which no message may show
        raise ValueError("mqtt: got a user in the address, expected it as --user")
    ports = {"mqtt": 1883, "mqtts": 8883}
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        host.encode("idna")  # as the names of hosts are looked up
        is_one = parts.scheme in ports and host and port != 0
        is_one = is_one and parts.path in ("", "/") and not (parts.query or parts.fragment)
    except ValueError:
        is_one = False
    if not is_one:
        raise ValueError(f"mqtt: got {url!r}, expected mqtt://HOST:PORT or mqtts://HOST:PORT")
    return host, port or ports[parts.scheme], parts.scheme == "mqtts"


class Gateway:
    """Customers behind one connection.

    Args:
        customers: at least one.
        broker: to be connected with; it need not be there yet.
        wait: seconds after a boundary of the clock at which the step is taken: what has come by
            then counts.
        clock: the time; aware.

    Raises:
        ValueError: a customer twice, or a wait that is none.
    """

    def __init__(
        self,
        customers: Sequence[Customer],
        broker: Broker,
        wait: float,
        clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        self._customers = {f"{customer.topic}/readings": customer for customer in customers}
        counts = Counter(customer.name for customer in customers)
        if twice := [name for name, count in counts.items() if count > 1]:
            raise ValueError(f"files: got {twice[0]!r:.80} {counts[twice[0]]} times, expected once")
        if not 0.0 <= wait <= LONGEST_WAIT:
            raise ValueError(f"wait: got {wait} s, expected 0 to {LONGEST_WAIT:g}")
        self._availability = f"{customers[0].topic}/availability"
        self._broker, self._wait, self._clock = broker, wait, clock
        self._events: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._serving, self._minute = True, datetime.min
        self._connected: float | None = None  # since when, by `time.monotonic`
        self._short = 0  # connections in a row
        self._refusal: ReasonCode | None = None  # the last one, until it is let in
        self._sent: dict[str, MQTTMessageInfo | None] = {}  # set-points as they were made, by topic
        self._client = broker.client(customers[0].topic)
        self._client.will_set(self._availability, "offline", QUALITY, retain=True)
        # The client has a thread of its own, which only hands over what happens.
        self._client.on_connect = lambda *seen: self._events.put(lambda: self._greet(seen[3]))
        self._client.on_disconnect = lambda *seen: self._events.put(lambda: self._miss(seen[3]))
        self._client.on_connect_fail = lambda *seen: self._seek(sys.exc_info()[1])
        self._client.on_message = lambda *seen: self._events.put(lambda: self._hear(seen[2]))

    def serve(self) -> None:
        """Go on until `stop`."""
        first_step = time.monotonic() + self._wait
        self._client.loop_start()
        while self._serving:
            with suppress(Empty):
                event = self._events.get(timeout=LOOK)
                self._safely("broker", event)
            if time.monotonic() >= first_step:
                self._safely("clock", self._step)
        farewell = self._publish(self._availability, "offline")
        if farewell is not None:
            with suppress(RuntimeError):  # it is lost with the connection: the last will says it
                farewell.wait_for_publish(FAREWELL)
        self._client.disconnect()
        self._client.loop_stop()

    def stop(self) -> None:
        """End `serve`; from any thread, or a signal's handler."""
        self._events.put(self._end)

    def _end(self) -> None:
        self._serving = False

    def _safely(self, whose: str, act: Callable[[], None]) -> None:
        """What goes wrong with one event, or one customer, is told and stops no other."""
        try:
            act()
        except Exception:  # the houses must go on
            log.exception("%s: got what nobody had expected", whose)

    def _seek(self, error: BaseException | None) -> None:
        """Say why there is no connection."""
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        log.warning("broker: %s: %s; tried again and again", self._broker, why)

    def _miss(self, cause: ReasonCode) -> None:
        """Say once that a connection is lost; of one that was refused, the refusal was said."""
        if self._connected is None:
            return
        self._short = self._short + 1 if time.monotonic() - self._connected < SHORT else 0
        self._connected, likely = None, ""
        if self._short >= MOST_SHORT:
            whose = next(iter(self._customers.values())).name
            likely = f", {self._short} times soon after it was made; does another gateway serve "
            likely += f"{whose}, too? A broker lets in one"
        log.warning("broker: %s: connection lost: %s%s", self._broker, cause, likely)

    def _greet(self, answer: ReasonCode) -> None:
        """Say what a broker may have forgotten, which has just answered."""
        if answer.is_failure:
            if answer != self._refusal:
                log.error("broker: %s: refused: %s; tried again and again", self._broker, answer)
            self._refusal = answer
            return
        log.info("broker: %s: connected", self._broker)
        self._connected, self._refusal = time.monotonic(), None
        # Should it be lost, too. Two gateways by one name would throw each other off for ever.
        pause = min(2**self._short, LONGEST_PAUSE)
        self._client.reconnect_delay_set(pause, LONGEST_PAUSE)
        self._client.subscribe([(topic, QUALITY) for topic in (FOR_ALL, *self._customers)])
        for customer in self._customers.values():
            self._safely(customer.name, partial(self._introduce, customer))
        self._publish(self._availability, "online")

    def _introduce(self, customer: Customer) -> None:
        self._publish(*customer.discovery(self._availability))
        if customer.set_point:
            self._publish(f"{customer.topic}/set_point", customer.set_point)

    def _hear(self, message: MQTTMessage) -> None:
        """Put a message where it belongs; its sender is told what cannot be used."""
        if len(message.payload) > LONGEST_MESSAGE:
            size = f"message: got {len(message.payload)} bytes, expected {LONGEST_MESSAGE} at most"
            self._tell(message.topic, (size,))
            return
        now = self._now()
        came = now - LONG_AGO if message.retain else now
        readings = Readings.of_json(bytes(message.payload), came)
        # One of a customer of before, whose messages the broker has kept, is nobody's.
        own = self._customers.get(message.topic)
        concerned = [own] if own else []
        if message.topic == FOR_ALL:
            concerned = list(self._customers.values())
        names = dict.fromkeys(name for customer in concerned for name in customer.inbox.names)
        whose = own.name if own else "any customer here"
        strange = tuple(
            f"{legible(name)}: not a reading of {whose}, expected one of {', '.join(names)}"
            for name in readings.values
            if name not in names
        )
        readings = replace(readings, faults=the_first((*readings.faults, *strange)))
        faults: list[str] = []

        def put(customer: Customer) -> None:
            faults.extend(customer.inbox.put(readings, now))

        for customer in concerned:
            self._safely(customer.name, partial(put, customer))
        self._tell(message.topic, the_first(faults))

    def _tell(self, topic: str, faults: tuple[str, ...]) -> None:
        if faults:
            log.warning("%s: %s", topic, "; ".join(faults))
            answer = f"{topic.removesuffix('readings')}faults"
            self._publish(answer, json.dumps(faults, ensure_ascii=False), retain=False)

    def _step(self) -> None:
        """Take the steps that have begun: at a whole minute, whatever the length and the zone."""
        now = self._now() - timedelta(seconds=self._wait)
        minute = now.replace(second=0, microsecond=0)
        if minute == self._minute:
            return
        self._minute = minute
        for customer in self._customers.values():
            self._safely(customer.name, partial(self._step_of, customer, now))

    def _step_of(self, customer: Customer, now: datetime) -> None:
        topic = f"{customer.topic}/set_point"
        sent = self._sent.get(topic)
        taken = sent is not None and not sent.rc and sent.is_published()
        set_point = customer.step(now, taken)
        if set_point is not None:
            self._sent[topic] = self._publish(topic, set_point)

    def _now(self) -> datetime:
        return max(self._clock(), FIRST_DAY)

    def _publish(self, topic: str, payload: str, retain: bool = True) -> MQTTMessageInfo | None:
        """Without a connection nothing is kept: `_greet` says what is then true."""
        if not self._client.is_connected():
            return None
        return self._client.publish(topic, payload, QUALITY, retain)
