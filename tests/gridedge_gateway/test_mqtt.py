"""What goes over a broker, without one."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import pytest
from paho.mqtt.client import MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from gridedge_gateway.controller import Controller
from gridedge_gateway.customer import Customer
from gridedge_gateway.file import CustomerFile
from gridedge_gateway.mqtt import Gateway
from gridedge_gateway.names import fit
from gridedge_gateway.readings import Readings
from tests.gridedge_gateway.conftest import hours_around

NOON = datetime(2026, 1, 15, 11, tzinfo=timezone.utc)  # in Amsterdam
HOME = "gridedge/battery_0"
NEWS = {
    "day_ahead_price": hours_around(NOON, 50.0),
    "temperature_forecast": hours_around(NOON, 3.0),
    "irradiance_forecast": hours_around(NOON, 0.0),
}
READ = {"meter_power": 0.4, "voltage": 231.0, "battery.state_of_charge": 52.0}


class Line:
    """A client that is connected at once, hears messages, and then is told to stop."""

    on_connect: Callable[..., Any]
    on_disconnect: Callable[..., Any]
    on_message: Callable[..., Any]

    def __init__(self, messages: Sequence[tuple[str, bytes, bool]]) -> None:
        self.messages, self.sent, self.stop = messages, [], lambda: None
        self.pauses: list[int] = []
        self.answer = ReasonCode(PacketTypes.CONNACK)
        self.is_taken: Callable[[str], bool] = lambda topic: True

    def loop_start(self) -> None:
        self.on_connect(self, None, None, self.answer, None)
        for topic, payload, retained in self.messages:
            message = MQTTMessage(topic=topic.encode())
            message.payload, message.retain = payload, retained
            self.on_message(self, None, message)
        self.stop()

    def publish(self, topic: str, payload: str, qos: int, retain: bool) -> Any:
        assert qos == 1
        self.sent.append((topic, payload, retain))
        taken = self.is_taken(topic)
        return SimpleNamespace(
            wait_for_publish=lambda timeout: None, rc=0, is_published=lambda: taken
        )

    def subscribe(self, topics: list[tuple[str, int]]) -> None:
        self.topics = [topic for topic, _ in topics]

    def is_connected(self) -> bool:
        return not self.answer.is_failure

    def will_set(self, topic: str, payload: str, qos: int, retain: bool) -> None:
        self.will = topic, payload, retain

    def disconnect(self) -> None: ...

    def reconnect_delay_set(self, least: int, most: int) -> None:
        self.pauses.append(least)

    def loop_stop(self) -> None: ...


def message(topic: str = "battery_0/readings", retained: bool = False, **said: object) -> tuple:
    return f"gridedge/{topic}", json.dumps({"time": NOON.isoformat(), **said}).encode(), retained


def served(
    path: Path,
    *messages: tuple,
    clock: Callable[[], datetime] = lambda: NOON,
    logs: Path | None = None,
) -> Line:
    """What a gateway has sent that has had some messages, the first step after them."""
    line, steps = Line([]), []
    line.messages = messages
    customer = Customer(Controller.load(path), logs)
    gateway = Gateway([customer], SimpleNamespace(client=lambda name: line), 0.0, clock)
    step = gateway._step

    def step_and_stop() -> None:
        step()
        gateway.stop()

    gateway._step = lambda: steps.append(1)  # type: ignore[method-assign]
    line.stop = lambda: gateway._events.put(step_and_stop)
    gateway.serve()
    return line


def sent(line: Line, topic: str) -> list[Any]:
    return [json.loads(payload) for name, payload, _ in line.sent if name == f"{HOME}/{topic}"]


def test_readings_become_a_set_point(battery_file):
    """Prices for everybody, own readings in two messages."""
    charge = {"battery.state_of_charge": 52.0}
    line = served(
        battery_file,
        message("readings", **NEWS),
        message(meter_power=0.4, voltage=231.0),
        message(**charge),
    )
    (set_point,) = sent(line, "set_point")
    assert set_point["follows"] == {"battery": "policy"}, set_point["reasons"]
    (reason,) = set_point["reasons"]  # it is the first step
    assert reason.startswith("meter_power: got 0.4 kW, but what devices drew")
    assert set_point["time"] == NOON.isoformat()
    assert list(set_point["power"]) == ["battery"]
    assert line.topics == ["gridedge/readings", f"{HOME}/readings"]
    assert line.will == (f"{HOME}/availability", "offline", True)
    said = [(payload, kept) for name, payload, kept in line.sent if name == line.will[0]]
    assert said == [("online", True), ("offline", True)]
    assert sent(line, "faults") == []


def test_what_the_broker_kept_counts_only_with_its_time(battery_file):
    """It may be of last week: prices have times of their own."""
    kept = f"{HOME}/readings", json.dumps({**READ, **NEWS}).encode(), True
    (set_point,) = sent(served(battery_file, kept), "set_point")
    assert set_point["follows"] == {"battery": "policy"}
    assert any("is late" in reason for reason in set_point["reasons"])
    assert any(reason.startswith("voltage: not read") for reason in set_point["reasons"])


def test_a_clock_that_was_never_set_gets_what_is_safe(battery_file):
    line = served(battery_file, clock=lambda: datetime(1970, 1, 1, tzinfo=timezone.utc))
    (set_point,) = sent(line, "set_point")
    assert set_point["follows"] == {"battery": "fallback"}


def test_a_broker_that_refuses_is_told_nothing(battery_file, caplog):
    line = Line([])
    line.answer = ReasonCode(PacketTypes.CONNACK, "Not authorized")
    customer = Customer(Controller.load(battery_file), None)
    gateway = Gateway([customer], SimpleNamespace(client=lambda name: line), 0.0, lambda: NOON)
    refused = line.answer

    def refuse_again() -> None:
        line.on_disconnect(line, None, None, refused, None)
        line.on_connect(line, None, None, refused, None)
        line.on_disconnect(line, None, None, refused, None)
        gateway.stop()

    line.stop = refuse_again
    gateway.serve()
    assert line.sent == []
    (told,) = (said for said in caplog.messages if said.startswith("broker:"))
    assert told.endswith(": refused: Not authorized; tried again and again")


def test_a_gateway_that_is_thrown_off_again_and_again_says_why_and_waits(battery_file, caplog):
    """As by another one that serves the same customer: a broker lets in one by each name."""
    line = Line([])
    customer = Customer(Controller.load(battery_file), None)
    gateway = Gateway([customer], SimpleNamespace(client=lambda name: line), 0.0, lambda: NOON)

    def throw_off() -> None:
        for _ in range(9):
            line.on_disconnect(line, None, None, "Unspecified error", None)
            line.on_connect(line, None, None, line.answer, None)
        gateway.stop()

    line.stop = throw_off
    gateway.serve()
    assert line.pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    lost = [said for said in caplog.messages if "connection lost" in said]
    assert ["serve battery_0, too?" in said for said in lost] == 2 * [False] + 7 * [True]


@pytest.mark.parametrize("taken", [True, False])
def test_a_set_point_that_the_broker_has_not_taken_may_not_have_come(battery_file, taken):
    """As of a connection that was lost: what the battery did meanwhile, nobody knows."""
    line, times = Line([]), iter(NOON + timedelta(minutes=30 * step) for step in range(3))
    line.is_taken = lambda topic: taken
    customer = Customer(Controller.load(battery_file), None)
    gateway = Gateway([customer], SimpleNamespace(client=lambda name: line), 0.0, lambda: now)
    for now in times:  # that the gateway's clock shows
        customer.inbox.put(Readings(now, READ), now)
        gateway._step()
    unknown = [
        any("is not known" in reason for reason in answer["reasons"])
        for answer in sent(line, "set_point")
    ]
    assert unknown == [True, not taken, not taken]


def test_each_step_is_taken_once_and_logged(battery_file, tmp_path):
    customer = Customer(Controller.load(battery_file), tmp_path)
    times = [NOON, NOON + timedelta(minutes=29), NOON + timedelta(minutes=30), NOON]
    assert [customer.step(time) is None for time in times] == [False, True, False, False]
    said = json.loads(customer.set_point or "")
    late = "got 2026-01-15T12:00:00+01:00, before 2026-01-15T12:30:00+01:00, whose set-points stand"
    assert said["reasons"][-1] == f"time: {late}"
    lines = (tmp_path / "battery_0.csv").read_text().splitlines()
    assert lines[0].startswith("time,meter_power,voltage,outdoor_temperature,battery.state_of")
    assert [line[:25] for line in lines[1:]] == [
        *("2026-01-15T12:00:00+01:00", "2026-01-15T12:30:00+01:00", "2026-01-15T12:00:00+01:00")
    ]


def test_home_assistant_finds_a_customer(battery_file):
    file = copy.copy(CustomerFile(battery_file))
    file.customer = {**file.customer, "name": "Rose/4 é"}
    customer = Customer(Controller(file), None)
    assert customer.topic == "gridedge/Rose%2F4 é"
    assert fit("..") == "%2E."  # else a folder, or hidden
    assert unquote(fit("\n+#%/é")) == "\n+#%/é"
    topic, payload = customer.discovery("gridedge/x/availability")
    assert topic == "homeassistant/device/gridedge_Rose-2F4-20-C3-A9/config"
    said = json.loads(payload)
    assert said["state_topic"] == "gridedge/Rose%2F4 é/set_point"
    assert said["device"]["name"] == "Rose/4 é"
    power = said["components"]["battery_power"]
    assert power["value_template"] == "{{ value_json.power.battery }}"
    assert (power["unit_of_measurement"], power["device_class"]) == ("kW", "power")
    assert power["expire_after"] == 3600  # two steps of half an hour
    unlike = ("house.1", "house_1", "house-1", "house-2E1", "houseé")
    topics = set()
    for name in unlike:
        file.customer = {**file.customer, "name": name}
        topics.add(Customer(Controller(file), None).discovery("")[0])
    assert len(topics) == len(unlike)
    assert all(re.fullmatch(r"homeassistant/device/[\w-]+/config", t, re.ASCII) for t in topics)
    identities = [each["unique_id"] for each in said["components"].values()]
    assert len(set(identities)) == len(identities) == 2


def test_a_customer_is_served_once(battery_file):
    customers = [Customer(Controller.load(battery_file), None) for _ in range(2)]
    with pytest.raises(ValueError, match="files: got 'battery_0' 2 times, expected once"):
        Gateway(customers, SimpleNamespace(client=lambda name: Line([])), 0.0)
