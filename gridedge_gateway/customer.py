"""A customer that is served: messages in, a set-point for each step out."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from gridedge_gateway.controller import Controller
from gridedge_gateway.discovery import discovery
from gridedge_gateway.inbox import Inbox
from gridedge_gateway.names import fit
from gridedge_gateway.record import Log

log = logging.getLogger("gridedge-gateway")


class Customer:
    """One customer.

    Attributes:
        name: theirs.
        topic: above all of theirs.
        inbox: where their messages belong.
        set_point: the last one, as JSON; None: there is none yet.

    Args:
        controller: theirs.
        logs: folder of the customers' logs; None: none is kept.
    """

    def __init__(self, controller: Controller, logs: Path | None) -> None:
        self.name: str = controller.file.customer["name"]
        self.topic = f"gridedge/{fit(self.name)}"
        self.set_point: str | None = None
        self._controller = controller
        self.inbox = Inbox(controller.calendar, controller.readable)
        self._log = None if logs is None else Log(logs / f"{fit(self.name)}.csv", controller.file)
        self._begun: datetime | None = None

    def step(self, now: datetime, taken: bool = True) -> str | None:
        """Take a step if another than the last one is under way: its set-point, as JSON.

        Args:
            now: aware.
            taken: whether the broker has taken the last set-point.
        """
        step = self._controller.calendar.step(now)
        if step.time == self._begun:
            return None
        self._begun = step.time
        if not taken:
            self._controller.forget()
        readings = replace(self.inbox.take(step.time), time=step.begin)
        set_point = self._controller.step(readings)
        for reason in set_point.reasons:
            log.warning("%s: %s", self.name, reason)
        if self._log is not None:
            self._log.add(readings, self._controller.published.at(step.time), set_point)
        self.set_point = set_point.as_json()
        return self.set_point

    def discovery(self, availability: str) -> tuple[str, str]:
        """Topic and payload by which Home Assistant finds the set-points."""
        topic, devices = f"{self.topic}/set_point", self._controller.file.devices
        length = self._controller.calendar.length
        return discovery(self.name, devices, length, topic, availability)
