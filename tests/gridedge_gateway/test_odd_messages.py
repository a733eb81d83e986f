"""What a gateway does with odd messages and options: it says what is wrong, and goes on."""

from __future__ import annotations

import copy
import json
from types import SimpleNamespace

import pytest

from gridedge_gateway.cli import main
from gridedge_gateway.controller import Controller
from gridedge_gateway.customer import Customer
from gridedge_gateway.file import CustomerFile
from gridedge_gateway.mqtt import LONGEST_MESSAGE, Gateway, read_address
from tests.gridedge_gateway.test_mqtt import HOME, NOON, Line, message, sent, served


def test_whatever_comes_is_answered_with_a_reason(battery_file):
    line = served(
        battery_file,
        (f"{HOME}/readings", b"\xff{", False),
        (f"{HOME}/readings", b"[1]", False),
        (f"{HOME}/readings", b" " * (LONGEST_MESSAGE + 1), False),
        message(voltage="high"),
        message(voltage=None),
        message(day_ahead_price={}),
        message(),
        ("gridedge/removed/readings", b"{", False),  # a customer of before
    )
    faults = [fault for (fault,) in sent(line, "faults")]
    assert [fault.partition(":")[0] for fault in faults] == [
        *("message", "message", "message", "voltage", "voltage", "day_ahead_price", "message")
    ]
    assert not any(kept for name, _, kept in line.sent if name.endswith("faults"))
    (set_point,) = sent(line, "set_point")
    assert set_point["follows"] == {"battery": "fallback"}
    assert set_point["power"] == {"battery": 0.0}
    assert {"message", "voltage", "day_ahead_price"} <= {
        reason.partition(":")[0] for reason in set_point["reasons"]
    }


@pytest.mark.parametrize("text", ["\ud800", "\x00", "\n"])
def test_no_name_or_value_ends_a_gateway(battery_file, tmp_path, text):
    line = served(battery_file, message(**{text: text}), logs=tmp_path)
    (faults,) = sent(line, "faults")
    assert {fault.partition(":")[0] for fault in faults} == {repr(text)[1:-1]}
    assert len(sent(line, "set_point")) == 1
    assert len((tmp_path / "battery_0.csv").read_text(encoding="utf-8").splitlines()) == 2


def test_a_customer_that_fails_stops_no_other(battery_file, monkeypatch, caplog):
    """Whatever is asked of it: to be introduced, to hear, to step. It is named."""
    file, line, customers = CustomerFile(battery_file), Line([]), []
    for name in ("first", "second"):
        own = copy.copy(file)
        own.customer = {**file.customer, "name": name}
        customers.append(Customer(Controller(own), None))

    def fail(*given: object) -> None:
        raise RuntimeError("broken")

    for of_first, name in (
        *((customers[0], name) for name in ("discovery", "step")),
        (customers[0].inbox, "put"),
    ):
        monkeypatch.setattr(of_first, name, fail)
    gateway = Gateway(customers, SimpleNamespace(client=lambda name: line), 0.0, lambda: NOON)
    line.messages = [message("readings", voltage="high"), message("first/readings")]

    def step_and_stop() -> None:
        gateway._step()
        gateway.stop()

    line.stop = lambda: gateway._events.put(step_and_stop)
    gateway.serve()
    topics = [topic for topic, _, _ in line.sent]
    assert {"gridedge/second/set_point", "gridedge/faults"} <= set(topics)
    assert not any(topic.startswith("gridedge/first/set_point") for topic in topics)
    errors = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 4
    assert all(error.startswith("first:") for error in errors)


def test_an_answer_is_short_whatever_came(battery_file):
    """Thousands of faults in one message, and one in each of hundreds."""
    bad = {f"reading_{number}": "x" for number in range(50_000)}
    many = [message(voltage=f"v{number}") for number in range(300)]
    line = served(battery_file, message(**bad), *many)
    assert max(len(payload) for _, payload, _ in line.sent) < 10_000


def test_what_nobody_reads_is_told(battery_file):
    """On the topic for all, what any of its customers reads is none."""
    line = served(
        battery_file,
        message(volt=230),
        message(battery_state_of_charge=51),
        message("readings", volt=230),
        message("readings", **{"battery.state_of_charge": 52.0}),
    )
    expected = "expected one of meter_power, voltage, outdoor_temperature, battery.state_of_charge"
    told = [fault for (fault,) in sent(line, "faults")]
    assert [fault.partition(", expected")[0] for fault in told] == [
        "volt: not a reading of battery_0",
        "battery_state_of_charge: not a reading of battery_0",
    ]
    assert all(expected in fault for fault in told)
    (for_all,) = (json.loads(said) for topic, said, _ in line.sent if topic == "gridedge/faults")
    assert for_all[0].startswith("volt: not a reading of any customer here, expected")
    (set_point,) = sent(line, "set_point")
    assert {f"{told[0]} (and 1 more)", told[1]} <= set(set_point["reasons"])


@pytest.mark.parametrize(
    "url",
    [
        *("localhost", "http://localhost", "mqtt://", "mqtt://localhost/topic", "mqtt://host?a=b"),
        *("mqtt://host:0", "mqtt://host:99999", "mqtt://host:x", "mqtt://[::1", "mqtt://host:-1"),
        *("mqtt://a..b", f"mqtt://{'a' * 64}", "mqtt://.example", "mqtt://\udc80"),
    ],
)
def test_what_is_no_address_is_refused(url):
    """Before a thread of the client's finds out, which would end with it."""
    with pytest.raises(ValueError, match=r"^mqtt: got '.*', expected mqtt://HOST:PORT"):
        read_address(url)


@pytest.mark.parametrize("wait", ["nan", "inf", "-inf", "-100", "601"])
def test_a_wait_that_never_ends_is_refused(battery_file, capsys, wait):
    with pytest.raises(SystemExit) as stop:
        main(["serve", str(battery_file), "--mqtt", "mqtt://localhost", f"--wait={wait}"])
    assert stop.value.code == 2
    expected = f"gridedge-gateway: error: wait: got {float(wait)} s, expected 0 to 600\n"
    assert capsys.readouterr().err.endswith(expected)


def test_addresses_of_brokers():
    assert read_address("mqtt://localhost") == ("localhost", 1883, False)
    assert read_address("mqtts://broker.example:1234/") == ("broker.example", 1234, True)
    assert read_address("mqtts://[::1]:1234") == ("::1", 1234, True)
    for port in ("", ":1883", ":0"):
        with pytest.raises(ValueError, match=r"^mqtt: got a user in the address, expected it as"):
            read_address(f"mqtt://somebody:secret@localhost{port}")
