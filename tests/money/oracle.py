"""The model beside the real database: it foretells what every operation leaves there, row by row.

How much of what is left a process takes is its own affair. So a grant is only looked up, and must have been possible;
everything else must come out as the model says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.db.models import Sum

from apps.domain.snapshot import Budget as BudgetRule
from apps.quotas.models import Budget, BudgetWindow, Gap, Lease, Replica
from apps.usage import rows
from apps.usage.models import Entry, OpenAttempt
from apps.usage.records import Intent
from apps.usage.records import Outcome as Told
from tests.money import model_books as model
from tests.money.model_rules import Truth, check, require

WINDOW = ("settled", "held", "credit", "overrun", "ceiling")
LEASE = ("granted", "settled", "credit", "is_open")


class Oracle:
    def __init__(self, budgets: Iterable[Budget]) -> None:
        self.books = model.Books({})
        self.truth = Truth()
        self.terms = {found.pk: (found.amount, found.overdraft) for found in budgets}
        self.calls: dict[UUID, model.Call] = {}
        self._keys: dict[int, model.LeaseKey] = {}
        self._frozen: set[int] = set()

    # --- what is foretold --------------------------------------------------------------------------------------

    def do(self, transaction: model.Transaction) -> None:
        for _ in transaction:
            pass

    def begin(self, intent: Intent, *, owner: str, real: int) -> None:
        leases = tuple(self._keys[lease_id] for lease_id in intent.leases)
        call = self.calls[intent.request_id] = model.Call(intent.request_id, owner, intent.reserved, leases)
        self.truth.begin(call, real)
        if intent.gated:
            self.do(self.books.tell([call]))

    def extend(self, number: UUID, *, worst: int, real: int) -> None:
        """What the gate has told the database of stays as it was."""
        call = self.calls[number] = replace(self.calls[number], worst=worst)
        self.truth.begin(call, real)

    def resolve(self, number: UUID, *, amount: int) -> None:
        """By a person: nobody knows of a lease then, so the windows are charged."""
        entries = self.books.entries[number]
        entries.resolution = amount - entries.first
        for window_id, _, _ in entries.call.leases:
            window = self.books.windows[window_id]
            window.settled += entries.resolution
            window.overrun += max(0, entries.resolution)

    def post(self, told: Iterable[Told]) -> None:
        outcomes = [(self.calls[one.intent.request_id], one) for one in told]
        self.do(
            self.books.post(
                [model.Outcome(call, rows.most(one), is_confirmed=one.state == "settled") for call, one in outcomes]
            )
        )

    def acknowledge(self, told: Iterable[Told]) -> None:
        """Ended, and the end is known and on a disk that was kept."""
        self.truth.acknowledged |= {one.intent.request_id for one in told if one.state == "settled"}

    def inherit(self, owner: str, *, journalled: Iterable[Told], opened: Iterable[Intent]) -> None:
        ended = {told.intent.request_id for told in journalled}
        self.post(journalled)
        left = [self.calls[intent.request_id] for intent in opened if intent.request_id not in ended]
        self.do(self.books.post([model.Outcome(call, call.worst, is_confirmed=False) for call in left]))
        self.do(self.books.retire(owner))

    def fence(self, owner: str) -> None:
        self.books.epochs.setdefault(owner, 1)
        self.do(self.books.fence(owner))
        self._frozen |= {lease_id for lease_id, key in self._keys.items() if key[1] == owner}

    def lose(self, owner: str) -> None:
        self.books.epochs.setdefault(owner, 1)
        self.books.fenced.add(owner)
        self.do(self.books.presume(owner))
        self.do(self.books.write_off(owner))

    def depart(self, owner: str) -> None:
        for key in self.books.held_by(owner):
            self.books.close(key)
        self.do(self.books.depart(owner, ()))

    # --- what is looked up -------------------------------------------------------------------------------------

    def look(self) -> None:
        """After a process has asked for leases, or given some back."""
        for window in BudgetWindow.objects.filter(budget__in=self.terms):
            self._see_window(window)
        rows = list(self._leases())
        for row in rows:
            self._see_returned(row)
        for row in rows:
            self._see_granted(row)
        for name in list(self.books.fenced):
            if Replica.objects.filter(name=name, fenced_at=None).exists():
                self.books.fenced.discard(name)

    def _see_window(self, row: BudgetWindow) -> None:
        amount, overdraft = self.terms[row.budget_id]
        found = self.books.windows.setdefault(row.pk, model.Window(amount, overdraft))
        found.amount, found.overdraft = amount, overdraft
        if row.ceiling != found.ceiling:
            require(row.ceiling == max(found.ceiling, amount + overdraft), f"ceiling of {row.pk} is {row.ceiling}")
            found.ceiling = row.ceiling

    def _leases(self) -> Iterable[Lease]:
        return Lease.objects.filter(window__budget__in=self.terms).select_related("replica").order_by("pk")

    def _known(self, row: Lease) -> tuple[model.LeaseKey, model.Lease]:
        key = self._keys.setdefault(row.pk, (row.window_id, row.replica.name, row.pk))
        return key, self.books.leases.setdefault(key, model.Lease(is_open=row.is_open))

    def _see_returned(self, row: Lease) -> None:
        key, lease = self._known(row)
        require(row.granted >= row.settled, f"{key} was shrunk below what is recorded")
        less = min(0, row.granted - lease.granted), min(0, row.credit - lease.credit)
        self.books.take(self.books.windows[row.window_id], lease, more=less[0], credit=less[1])
        if not row.is_open:
            require(row.granted == row.settled and row.credit == 0, f"{key} was closed with something in it")
            lease.is_open = False

    def _see_granted(self, row: Lease) -> None:
        key, lease = self._known(row)
        window = self.books.windows[row.window_id]
        more, credit = row.granted - lease.granted, row.credit - lease.credit
        if more or credit:
            require(row.pk not in self._frozen, f"{key} was enlarged after its epoch")
            require(more <= max(0, window.room), f"{key} got {more} where {window.room} was left")
            self.books.take(window, lease, more=more, credit=0)
            lent = min(window.overdraft - window.credit, window.worst_room)
            require(credit <= max(0, lent), f"{key} got a credit of {credit} where {lent} was left")
            self.books.take(window, lease, more=0, credit=credit)
            require(window.ceiling >= window.amount + window.overdraft, f"the ceiling of {key} was not raised")

    def room(self, rule: BudgetRule, window_id: int | None) -> tuple[int, int]:
        """What nobody has of a window: of its amount, and of both."""
        if window_id is None:
            return rule.amount, rule.amount + rule.overdraft
        found = self.books.windows[window_id]
        room = max(0, min(rule.amount - found.settled - found.held, found.worst_room))
        return room, max(0, min(found.worst_room, room + rule.overdraft - found.credit))

    # --- what must be the same ---------------------------------------------------------------------------------

    def compare(self) -> None:
        for row in BudgetWindow.objects.filter(budget__in=self.terms).values("pk", *WINDOW):
            window = self.books.windows[row.pop("pk")]
            require(row == {name: getattr(window, name) for name in WINDOW}, f"window: {row}, model: {window}")
        there = {row.pk: row for row in self._leases()}
        for lease_id, key in self._keys.items():
            lease = self.books.leases[key]
            if lease_id in there:
                stored = {name: getattr(there[lease_id], name) for name in LEASE}
                require(stored == {name: getattr(lease, name) for name in LEASE}, f"{key}: {stored}, model: {lease}")
            else:
                require(not lease.is_open, f"{key} is gone, model: {lease}")
        self._compare_entries()
        check(self.books, self.truth)

    def _compare_entries(self) -> None:
        rows = Entry.objects.filter(request_id__in=self.calls).values_list("request_id", "kind", "high_nano")
        found: dict[Any, dict[int, int]] = {}
        for request, kind, high in rows:
            found.setdefault(request, {})[kind] = high
        foretold: dict[Any, dict[int, int]] = {}
        for number, entries in self.books.entries.items():
            foretold[number] = {1 if entries.is_confirmed else 2: entries.first}
            if entries.resolution is not None:
                foretold[number][3] = entries.resolution
        require(found == foretold, f"entries: {found}, model: {foretold}")
        opened = set(OpenAttempt.objects.filter(request_id__in=self.calls).values_list("request_id", flat=True))
        require(opened == set(self.books.opened), f"known to run: {opened}, model: {set(self.books.opened)}")
        gaps = Gap.objects.filter(window__budget__in=self.terms, closed_at=None).values("window")
        stored = {row["window"]: row["amount"] for row in gaps.annotate(amount=Sum("amount")).order_by()}
        open_gaps: dict[int, int] = {}
        for gap in self.books.gaps:
            if gap.is_open:
                open_gaps[gap.window] = open_gaps.get(gap.window, 0) + gap.amount
        require(stored == open_gaps, f"gaps: {stored}, model: {open_gaps}")
