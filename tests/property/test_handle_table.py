"""The handle table and reference counts against a naive model."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pylibos.abi.ntstatus import NtStatus
from pylibos.emulation.object_manager.errors import StatusError
from pylibos.emulation.object_manager.handle_table import HandleTable
from pylibos.emulation.object_manager.manager import ObjectManager
from pylibos.emulation.object_manager.object_type import ObjectHeader, ObjectType, Operations

OBJECTS = 3
TABLES = 2


class Handles(RuleBasedStateMachine):
    """Two tables, three objects; the model is a dict per table and a set of extra references."""

    def __init__(self) -> None:
        super().__init__()
        self.manager = ObjectManager()
        self.deleted: list[ObjectHeader] = []
        kind = ObjectType("Probe", Operations(delete=self.deleted.append))
        self.objects = [self.manager.create(kind, index) for index in range(OBJECTS)]
        self.extra = [1] * OBJECTS
        self.tables = [HandleTable() for _ in range(TABLES)]
        self.model: list[dict[int, tuple[int, int]]] = [{} for _ in range(TABLES)]

    def lowest(self, table: int) -> int:
        handle = 4
        while handle in self.model[table]:
            handle += 4
        return handle

    @rule(table=st.integers(0, TABLES - 1), which=st.integers(0, OBJECTS - 1), access=st.integers(0, 0xFF))
    def open(self, table: int, which: int, access: int) -> None:
        header = self.objects[which]
        if header.reference_count == 0:
            with pytest.raises(StatusError):
                self.manager.open_object(self.tables[table], header, access)
            return
        expected = self.lowest(table)
        assert self.manager.open_object(self.tables[table], header, access) == expected
        self.model[table][expected] = (which, access)

    @rule(table=st.integers(0, TABLES - 1), handle=st.integers(-4, 44))
    def close(self, table: int, handle: int) -> None:
        if handle in self.model[table]:
            self.manager.close(self.tables[table], handle)
            del self.model[table][handle]
        else:
            with pytest.raises(StatusError) as caught:
                self.manager.close(self.tables[table], handle)
            assert caught.value.status is NtStatus.INVALID_HANDLE

    @rule(source=st.integers(0, TABLES - 1), into=st.integers(0, TABLES - 1), data=st.data())
    def duplicate(self, source: int, into: int, data: st.DataObject) -> None:
        if not self.model[source]:
            return
        handle = data.draw(st.sampled_from(sorted(self.model[source])))
        expected = self.lowest(into)
        assert self.manager.duplicate(self.tables[source], handle, self.tables[into]) == expected
        self.model[into][expected] = self.model[source][handle]

    @rule(table=st.integers(0, TABLES - 1), handle=st.integers(0, 44), access=st.integers(0, 0xFF))
    def reference(self, table: int, handle: int, access: int) -> None:
        entry = self.model[table].get(handle)
        if entry is None or access & ~entry[1]:
            with pytest.raises(StatusError) as caught:
                self.manager.reference_by_handle(self.tables[table], handle, access)
            assert caught.value.status is (NtStatus.INVALID_HANDLE if entry is None else NtStatus.ACCESS_DENIED)
            return
        assert self.manager.reference_by_handle(self.tables[table], handle, access) is self.objects[entry[0]]
        self.extra[entry[0]] += 1

    @rule(which=st.integers(0, OBJECTS - 1))
    def dereference(self, which: int) -> None:
        if self.extra[which]:
            self.manager.dereference(self.objects[which])
            self.extra[which] -= 1
        else:
            with pytest.raises(StatusError):
                self.manager.dereference(self.objects[which])

    @rule(table=st.integers(0, TABLES - 1))
    def end_process(self, table: int) -> None:
        self.manager.close_all(self.tables[table])
        self.model[table].clear()

    @invariant()
    def counts_agree(self) -> None:
        for which, header in enumerate(self.objects):
            handles = sum(entry[0] == which for model in self.model for entry in model.values())
            assert header.handle_count == handles
            assert header.reference_count == handles + self.extra[which]
            assert (header in self.deleted) == (header.reference_count == 0)
        assert len(set(map(id, self.deleted))) == len(self.deleted)
        for table, model in zip(self.tables, self.model, strict=True):
            assert [handle for handle, _ in table] == sorted(model)


TestHandles = Handles.TestCase
TestHandles.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
