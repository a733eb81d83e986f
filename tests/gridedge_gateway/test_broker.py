"""What goes over a broker: with mosquitto on the loopback interface.

Mosquitto is in the distribution's packages: apt-get install mosquitto. Without it these tests are
skipped.
"""

from __future__ import annotations

import copy
import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from gridedge_gateway.controller import Controller
from gridedge_gateway.customer import Customer
from gridedge_gateway.file import CustomerFile
from gridedge_gateway.mqtt import Broker, Gateway
from tests.gridedge_gateway.conftest import hours_around
from tests.gridedge_gateway.test_mqtt import HOME, NEWS, NOON, READ

ROOT = Path(__file__).parents[2]
MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
needs_mosquitto = pytest.mark.skipif(
    MOSQUITTO is None, reason="needs a broker: apt-get install mosquitto"
)


def wait_for(what: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "nothing came"
        time.sleep(0.02)


@contextmanager
def mosquitto(
    port: int, folder: Path, access: Sequence[str] = ("allow_anonymous true",)
) -> Iterator[None]:
    """A broker that keeps nothing when it ends."""
    settings = folder / "mosquitto.conf"
    settings.write_text("\n".join((f"listener {port} 127.0.0.1", *access)) + "\n")
    process = subprocess.Popen([str(MOSQUITTO), "-c", settings], stderr=subprocess.DEVNULL)

    def answers() -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return True
        return False

    try:
        wait_for(answers)
        yield
    finally:
        process.terminate()
        process.wait()


@contextmanager
def listening(port: int) -> Iterator[tuple[Client, dict[str, list[str]]]]:
    """A client, and what it has heard by topic."""
    heard: dict[str, list[str]] = {}
    client = Client(CallbackAPIVersion.VERSION2)

    def hear(client: Client, data: Any, message: MQTTMessage) -> None:
        heard.setdefault(message.topic, []).append(message.payload.decode())

    client.on_message = hear

    def begin(*seen: Any) -> None:
        heard["subscribed"] = []

    client.on_subscribe = begin
    client.connect("127.0.0.1", port)
    client.subscribe("#", 1)
    client.loop_start()
    try:
        wait_for(lambda: "subscribed" in heard)
        yield client, heard
    finally:
        client.disconnect()
        client.loop_stop()


@contextmanager
def serving(path: Path, port: int) -> Iterator[subprocess.Popen]:
    """The command, whose first step waits a moment for readings."""
    program = "from gridedge_gateway.cli import main; main()"
    address = f"mqtt://127.0.0.1:{port}"
    command = [sys.executable, "-c", program, "serve", str(path), "--mqtt", address, "--wait", "1"]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": PATHS})
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def at_work(gateway: Gateway) -> Iterator[None]:
    """A gateway in a thread, which ends whatever fails."""
    thread = threading.Thread(target=gateway.serve)
    thread.start()
    try:
        yield
    finally:
        gateway.stop()
        thread.join()


PATHS = os.pathsep.join([str(ROOT), *sys.path])


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@needs_mosquitto
def test_a_gateway_serves_through_restarts(battery_file, port, tmp_path):
    """Of the broker, which then knows the set-point again; and of itself, killed and ended."""
    availability, set_point = f"{HOME}/availability", f"{HOME}/set_point"
    now = datetime.now(timezone.utc)
    news = {name: hours_around(now, 5.0) for name in NEWS}
    readings = json.dumps({"time": now.isoformat(), **READ, **news})
    with serving(battery_file, port) as gateway:  # before there is a broker
        with mosquitto(port, tmp_path), listening(port) as (client, heard):
            wait_for(lambda: heard.get(availability) == ["online"])
            client.publish(f"{HOME}/readings", readings, 1).wait_for_publish(10.0)
            wait_for(lambda: set_point in heard)
            assert any(topic.startswith("homeassistant/device/") for topic in heard)
            before = json.loads(heard[set_point][-1])
        with mosquitto(port, tmp_path), listening(port) as (_, heard):
            wait_for(lambda: heard.get(availability) == ["online"] and set_point in heard)
            assert json.loads(heard[set_point][-1])["time"] >= before["time"]
            gateway.kill()
            wait_for(lambda: heard[availability][-1] == "offline")  # the last will
            with serving(battery_file, port) as again:
                wait_for(lambda: heard[availability][-1] == "online")
                again.send_signal(signal.SIGTERM)
                assert again.wait(30.0) == 0
                wait_for(lambda: heard[availability][-1] == "offline")


@needs_mosquitto
def test_a_broker_is_verified_and_lets_in_who_has_the_password(
    battery_file, port, tmp_path, caplog
):
    """As the guide demands of it: TLS, a user for each gateway. Both are checked at both ends."""
    key, certificate, users = (tmp_path / name for name in ("key.pem", "broker.pem", "users"))
    request = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    alternative = ("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate)
    subprocess.run([*request.split(), *alternative], check=True, capture_output=True)
    password = ("mosquitto_passwd", "-b", "-c", users, "battery_0", "secret")
    subprocess.run(password, check=True, capture_output=True)
    # As root it would become another, who may not read what is a test's.
    who = f"user {getpass.getuser()}"
    access = [who, "allow_anonymous false", f"password_file {users}"]
    access += [f"certfile {certificate}", f"keyfile {key}"]
    with mosquitto(port, tmp_path, access):
        for said, authority, expected in (
            ("secret", str(certificate), f"broker: 127.0.0.1:{port}: connected"),
            ("guess", str(certificate), "refused: Not authorized"),
            ("secret", None, "certificate verify failed"),
        ):
            broker = Broker("127.0.0.1", port, True, "battery_0", said, authority)
            customer = Customer(Controller.load(battery_file), None)
            gateway = Gateway([customer], broker, 60.0)
            caplog.clear()

            def is_told(words: str = expected) -> bool:
                return words in caplog.text

            with caplog.at_level("INFO"), at_work(gateway):
                wait_for(is_told)


@needs_mosquitto
def test_three_hundred_at_once(battery_file, port, tmp_path):
    """In one process, over one connection: each gets its own set-point."""
    file, customers = CustomerFile(battery_file), []
    for number in range(300):
        own = copy.copy(file)
        own.customer = {**file.customer, "name": f"home {number}"}
        customers.append(Customer(Controller(own), None))
    gateway = Gateway(customers, Broker("127.0.0.1", port, False), 2.0, lambda: NOON)
    with mosquitto(port, tmp_path), listening(port) as (client, heard), at_work(gateway):
        wait_for(lambda: "gridedge/home 0/availability" in heard)
        news = json.dumps({"time": NOON.isoformat(), **NEWS})
        client.publish("gridedge/readings", news, 1)
        for number in range(300):
            said = {"time": NOON.isoformat(), **READ, "battery.state_of_charge": number / 3.0}
            client.publish(f"gridedge/home {number}/readings", json.dumps(said), 1)
        topics = [f"gridedge/home {number}/set_point" for number in range(300)]
        wait_for(lambda: heard.keys() >= set(topics))
    answers = [json.loads(heard[topic][0]) for topic in topics]
    assert {answer["follows"]["battery"] for answer in answers} == {"policy"}
    assert len({answer["power"]["battery"] for answer in answers}) > 200
