// SPDX-License-Identifier: MIT
// The methods of objects, as messages of a thread: kern/cap/interface.hh says what each does.
#include "kern/cap/calls.hh"
#include "kern/cap/hardware.hh"
#include "kern/tests/support/microkernel.hh"

namespace kern::test {
namespace {

class FakeHardware final : public Hardware {
   public:
    Registers set{};
    std::uint64_t written = 0;
    bool is_writable = false, is_executable = false;
    void set_page(PageTable& table, unsigned index, const Capability& frame, bool writable,
                  bool executable) override {
        table.entries[index] = frame.object;
        is_writable = writable;
        is_executable = executable;
    }
    void set_table(PageTable& table, unsigned index, const PageTable& below) override {
        table.entries[index] = reinterpret_cast<std::uint64_t>(&below);
    }
    void set_registers(Tcb&, const Registers& registers) override { set = registers; }
    Registers registers(const Tcb&) override { return {.rip = 11, .rsp = 12, .rdi = 13}; }
    std::uint32_t read_port(std::uint16_t port, unsigned bytes) override { return port * bytes; }
    void write_port(std::uint16_t, unsigned, std::uint32_t value) override { written = value; }
};

/// A thread with a CNode of 15 slots, whose indices are its addresses, and a capability to it at 1.
class Methods : public MicroTest {
   protected:
    void SetUp() override {
        MicroTest::SetUp();
        kernel().hardware = &hardware;
        caller = &running_thread();
        copy(caller->cnode, at(1));
    }
    Slot& at(std::uint64_t index) { return slot_of(*caller, index); }
    /// What Call answers.
    Status call(std::uint64_t address, Method method, std::vector<std::uint64_t> words = {},
                SystemCall by = SystemCall::Call) {
        caller->message = {.label = static_cast<std::uint64_t>(method), .length = words.size()};
        std::ranges::copy(words, caller->message.words.begin());
        return system_call(kernel(), by, address) == Status::Preempted ? Status::Preempted
                                                                       : caller->status;
    }
    FakeHardware hardware;
    Tcb* caller = nullptr;
};

TEST_F(Methods, AreOfOneTypeAndWantTheirWords) {
    make_in(at(2), Type::Endpoint);
    EXPECT_EQ(call(1, Method::Resume), Status::InvalidArgument);
    EXPECT_EQ(call(1, Method::Copy, {3, 2}), Status::InvalidArgument);
    EXPECT_EQ(call(1, static_cast<Method>(0)), Status::InvalidArgument);
    EXPECT_EQ(call(1, static_cast<Method>(23), {1, 2, 3, 4}), Status::InvalidArgument);
    EXPECT_EQ(call(1, static_cast<Method>(~0ULL)), Status::InvalidArgument);
    EXPECT_EQ(call(5, Method::Delete, {2}), Status::InvalidCapability);  // an empty slot
    EXPECT_EQ(call(0, Method::Delete, {2}), Status::InvalidCapability);
    EXPECT_FALSE(at(2).is_empty());
}

TEST_F(Methods, OfCNodesDeriveMoveAndDelete) {
    make_in(at(2), Type::Endpoint);
    EXPECT_EQ(call(1, Method::Copy, {3, 2, read_right}), Status::Done);
    EXPECT_EQ(at(3).capability.rights, read_right);
    EXPECT_EQ(call(1, Method::Mint, {4, 2, all_rights, 77}), Status::Done);
    EXPECT_EQ(at(4).capability.value, 77U);
    EXPECT_EQ(call(1, Method::Copy, {4, 2, all_rights}), Status::SlotOccupied);
    EXPECT_EQ(call(1, Method::Copy, {5, 6, all_rights}), Status::SlotEmpty);
    EXPECT_EQ(call(1, Method::Copy, {5, 16, all_rights}), Status::InvalidCapability);
    EXPECT_EQ(call(1, Method::Copy, {16, 2, all_rights}), Status::InvalidArgument);
    EXPECT_EQ(call(1, Method::Copy, {0, 2, all_rights}), Status::InvalidArgument);
    EXPECT_EQ(call(1, Method::Move, {5, 2}), Status::Done);
    EXPECT_TRUE(at(2).is_empty());
    EXPECT_EQ(call(1, Method::Move, {5, 5}), Status::SlotOccupied);
    EXPECT_EQ(call(1, Method::Move, {6, 2}), Status::SlotEmpty);
    EXPECT_EQ(call(1, Method::Revoke, {5}), Status::Done);
    EXPECT_TRUE(at(3).is_empty() && at(4).is_empty() && !at(5).is_empty());
    EXPECT_EQ(call(1, Method::Delete, {5}), Status::Done);
    EXPECT_TRUE(at(5).is_empty());
    EXPECT_EQ(call(1, Method::Delete, {16}), Status::InvalidArgument);
    EXPECT_EQ(call(1, Method::Revoke, {0}), Status::InvalidArgument);
}

TEST_F(Methods, OfUntypedsMakeObjectsInARow) {
    make_in(at(2), Type::Untyped, 12);
    const auto kind = [](Type type, std::uint64_t bits = 0) {
        return static_cast<std::uint64_t>(type) | bits << 8;
    };
    EXPECT_EQ(call(2, Method::Retype, {kind(Type::Endpoint), 1, 3, 4}), Status::Done);
    for (std::uint64_t i = 3; i < 7; ++i) EXPECT_EQ(at(i).capability.type, Type::Endpoint);
    EXPECT_EQ(call(2, Method::Retype, {kind(Type::Endpoint), 1, 14, 3}), Status::InvalidArgument);
    EXPECT_EQ(call(2, Method::Retype, {kind(Type::Endpoint), 1, 14, ~0ULL}),
              Status::InvalidArgument);
    EXPECT_EQ(call(2, Method::Retype, {kind(Type::Endpoint), 1, 0, 1}), Status::InvalidArgument);
    EXPECT_EQ(call(2, Method::Retype, {kind(Type::Endpoint), 3, 8, 1}), Status::InvalidCapability);
    EXPECT_EQ(call(2, Method::Retype, {kind(Type::CNode, 1ULL << 40), 1, 8, 1}),
              Status::InvalidArgument);
    EXPECT_EQ(call(2, Method::Retype, {0xff, 1, 8, 1}), Status::InvalidArgument);
    EXPECT_EQ(call(2, Method::Retype, {kind(Type::CNode, 4), 1, 8, 1}), Status::Done);
    EXPECT_EQ(at(8).capability.type, Type::CNode);
}

TEST_F(Methods, RetypeFinishesTheDeadFirst) {
    make_in(at(2), Type::Untyped, 12);
    make_in(at(3), Type::CNode, 2);
    Slot& inside = cnode_of(at(3).capability).slot(1);
    make_in(inside, Type::Endpoint);
    machine.allowed_looks = 0;
    EXPECT_EQ(call(1, Method::Delete, {3}), Status::Preempted);
    EXPECT_NE(kernel().dead, nullptr);
    machine.allowed_looks = FakeMachine::never;
    EXPECT_EQ(call(2, Method::Retype, {static_cast<std::uint64_t>(Type::Endpoint), 1, 5, 1}),
              Status::Done);
    EXPECT_EQ(kernel().dead, nullptr);
    EXPECT_TRUE(inside.is_empty());
}

TEST_F(Methods, APreemptedOneKeepsItsMessage) {
    make_in(at(2), Type::Endpoint);
    copy(at(2), at(3));
    copy(at(2), at(4));
    machine.allowed_looks = 0;
    EXPECT_EQ(call(1, Method::Revoke, {2}), Status::Preempted);
    EXPECT_EQ(caller->message.label, static_cast<std::uint64_t>(Method::Revoke));
    EXPECT_EQ(caller->message.words[0], 2U);
    EXPECT_NE(at(3).is_empty(), at(4).is_empty());
}

TEST_F(Methods, ConfigureGivesCopiesToAThreadThatIsInactive) {
    make_in(at(2), Type::Tcb);
    make_in(at(3), Type::AddressSpace);
    make_in(at(4), Type::Frame);
    make_in(at(5), Type::Endpoint);
    Tcb& tcb = tcb_of(at(2).capability);
    EXPECT_EQ(call(2, Method::Configure, {1, 3, 4, 5}), Status::Done);
    EXPECT_TRUE(same_object(tcb.cnode.capability, caller->cnode.capability));
    EXPECT_EQ(tcb.buffer.capability.object, at(4).capability.object);
    EXPECT_EQ(parent_of(tcb.space), &at(3));
    EXPECT_EQ(parent_of(tcb.fault_handler), &at(5));
    EXPECT_EQ(call(2, Method::Configure, {1, 4, 4, 5}), Status::InvalidCapability);
    EXPECT_FALSE(tcb.space.is_empty());
    EXPECT_EQ(call(2, Method::Configure, {1, 3, 0, 0}), Status::Done);
    EXPECT_TRUE(tcb.buffer.is_empty() && tcb.fault_handler.is_empty() && !tcb.space.is_empty());
    EXPECT_EQ(call(2, Method::Resume), Status::Done);
    EXPECT_EQ(call(2, Method::Configure, {1, 3, 0, 0}), Status::NotAllowed);
}

TEST_F(Methods, ConfigureMayEndTheThreadItself) {
    // The thread's CNode has the only capability to that thread, and the thread the only one to it.
    Slot& tcb_slot = make(Type::Tcb);
    Tcb& tcb = tcb_of(tcb_slot.capability);
    make_in(tcb.cnode, Type::CNode, 2);
    tcb.cnode.capability.guard_bits = 62;
    Slot& inside = cnode_of(tcb.cnode.capability).slot(1);
    // The caller's address 2 leads there, by a CNode that is not counted among its capabilities.
    caller->cnode.capability = tcb.cnode.capability;
    move(tcb_slot, inside);
    EXPECT_EQ(call(1, Method::Configure, {0, 0, 0, 0}), Status::InvalidCapability);
    EXPECT_TRUE(inside.is_empty() && tcb.cnode.is_empty());
}

TEST_F(Methods, OfThreadsSayWhereTheyGoOn) {
    make_in(at(2), Type::Tcb);
    Tcb& tcb = tcb_of(at(2).capability);
    EXPECT_EQ(call(2, Method::SetRegisters, {0x400000, 0x500000, 5}), Status::Done);
    EXPECT_EQ(hardware.set.rip, 0x400000U);
    EXPECT_EQ(hardware.set.rdi, 5U);
    EXPECT_EQ(call(2, Method::SetRegisters, {user_end, 0, 0}), Status::InvalidArgument);
    EXPECT_EQ(call(2, Method::GetRegisters), Status::Done);
    EXPECT_EQ(caller->message.length, 4U);
    EXPECT_EQ(caller->message.words[0], 11U);
    EXPECT_EQ(call(2, Method::SetPriority, {priorities}), Status::InvalidArgument);
    EXPECT_EQ(call(2, Method::SetPriority, {caller->priority + 1U}), Status::NotAllowed);
    EXPECT_EQ(call(2, Method::Resume), Status::Done);
    EXPECT_EQ(call(2, Method::SetRegisters, {0x400000, 0x500000, 5}), Status::NotAllowed);
    EXPECT_EQ(call(2, Method::SetPriority, {1}), Status::Done);
    EXPECT_TRUE(is_queue(ready(1), {&tcb}) && is_queue(ready(0), {}));
    EXPECT_EQ(call(2, Method::Resume), Status::Done);
    EXPECT_TRUE(is_queue(ready(1), {&tcb}));
    EXPECT_EQ(call(2, Method::Suspend), Status::Done);
    EXPECT_EQ(tcb.state, State::Inactive);
    tcb.state = State::Calling;
    tcb.faulted = true;
    EXPECT_EQ(call(2, Method::SetRegisters, {0x400000, 0x500000, 5}), Status::Done);
}

TEST_F(Methods, AThreadMaySuspendItself) {
    copy(make(Type::Tcb), at(3));
    at(3).capability.object = reinterpret_cast<std::uint64_t>(caller);
    EXPECT_EQ(call(3, Method::Suspend), Status::Done);
    EXPECT_EQ(caller->state, State::Inactive);
    EXPECT_EQ(kernel().current(), nullptr);
}

TEST_F(Methods, ANotificationIsBoundToOneThread) {
    make_in(at(2), Type::Tcb);
    make_in(at(3), Type::Tcb);
    make_in(at(4), Type::Notification);
    copy(at(4), at(5), write_right);
    Notification& notification = notification_of(at(4).capability);
    EXPECT_EQ(call(2, Method::Bind, {5}), Status::NotAllowed);
    EXPECT_EQ(call(2, Method::Bind, {4}), Status::Done);
    EXPECT_EQ(notification.bound, &tcb_of(at(2).capability));
    EXPECT_EQ(call(3, Method::Bind, {4}), Status::NotAllowed);
    EXPECT_EQ(call(3, Method::Bind, {2}), Status::InvalidCapability);
    EXPECT_EQ(call(2, Method::Bind, {0}), Status::Done);
    EXPECT_EQ(notification.bound, nullptr);
    EXPECT_EQ(call(3, Method::Bind, {4}), Status::Done);
    EXPECT_EQ(call(3, Method::Resume), Status::Done);
    EXPECT_EQ(call(3, Method::Bind, {0}), Status::NotAllowed);
}

TEST_F(Methods, PagesStandInTablesOfThreeLevels) {
    make_in(at(2), Type::AddressSpace);
    for (std::uint64_t i = 3; i < 7; ++i) make_in(at(i), Type::PageTable);
    make_in(at(7), Type::Frame);
    copy(at(7), at(8), read_right);
    const std::uint64_t place = 0x12'3456'7000;
    for (std::uint64_t i = 3; i < 6; ++i) {
        EXPECT_EQ(call(7, Method::Map, {2, place, all_rights}), Status::SlotEmpty);
        EXPECT_EQ(call(i, Method::MapTable, {2, place}), Status::Done);
        EXPECT_EQ(at(i).capability.size_bits, 6 - i);
        EXPECT_EQ(call(i, Method::MapTable, {2, place + (1ULL << 40)}), Status::InvalidArgument);
    }
    EXPECT_EQ(call(6, Method::MapTable, {2, place}), Status::SlotOccupied);
    EXPECT_EQ(call(7, Method::Map, {2, place + 8, all_rights}), Status::InvalidArgument);
    EXPECT_EQ(call(7, Method::Map, {2, user_end, all_rights}), Status::InvalidArgument);
    EXPECT_EQ(call(7, Method::Map, {2, place, 2 * execute_bit}), Status::InvalidArgument);
    EXPECT_EQ(call(7, Method::Map, {2, place, write_right}), Status::NotAllowed);
    EXPECT_EQ(call(7, Method::Map, {3, place, all_rights}), Status::InvalidCapability);
    EXPECT_EQ(call(7, Method::Map, {2, place, all_rights}), Status::Done);
    EXPECT_TRUE(hardware.is_writable && !hardware.is_executable);
    PageTable& last = *reinterpret_cast<PageTable*>(at(5).capability.object);
    EXPECT_EQ(last.entries[0x167], at(7).capability.object);
    EXPECT_EQ(call(7, Method::Map, {2, place + 4096, all_rights}), Status::InvalidArgument);
    EXPECT_EQ(call(8, Method::Map, {2, place, read_right}), Status::SlotOccupied);
    EXPECT_EQ(call(8, Method::Map, {2, place + 4096, all_rights | execute_bit}), Status::Done);
    EXPECT_TRUE(!hardware.is_writable && hardware.is_executable);
    EXPECT_EQ(call(7, Method::Unmap), Status::Done);
    EXPECT_EQ(last.mapped[0x167], nullptr);
    // A table whose pages stand there cannot be put in at another level.
    EXPECT_EQ(call(5, Method::UnmapTable), Status::Done);
    EXPECT_EQ(call(5, Method::MapTable, {2, place}), Status::InvalidArgument);
    EXPECT_EQ(call(8, Method::Unmap), Status::Done);
    EXPECT_EQ(call(5, Method::MapTable, {2, place}), Status::Done);
}

TEST_F(Methods, OfInterruptsAndPorts) {
    at(2).capability = {.type = Type::IrqControl, .rights = all_rights};
    at(3).capability = {.type = Type::IoPorts, .rights = all_rights, .object = 0x70 | 0x75 << 16};
    make_in(at(4), Type::Notification);
    EXPECT_EQ(call(2, Method::GetIrq, {irqs, 1, 5}), Status::InvalidArgument);
    EXPECT_EQ(call(2, Method::GetIrq, {8, 1, 4}), Status::SlotOccupied);
    EXPECT_EQ(call(2, Method::GetIrq, {8, 1, 5}), Status::Done);
    EXPECT_EQ(call(2, Method::GetIrq, {8, 1, 6}), Status::SlotOccupied);
    EXPECT_EQ(call(5, Method::SetNotification, {1}), Status::InvalidCapability);
    EXPECT_EQ(call(5, Method::SetNotification, {4}), Status::Done);
    interrupt_arrived(kernel(), 8);
    EXPECT_EQ(notification_of(at(4).capability).active, 1U);
    EXPECT_EQ(machine.masked, 1U << 8);
    EXPECT_EQ(call(5, Method::Acknowledge), Status::Done);
    EXPECT_EQ(machine.masked, 0U);
    EXPECT_EQ(call(1, Method::Delete, {5}), Status::Done);
    EXPECT_EQ(call(2, Method::GetIrq, {8, 1, 6}), Status::Done);

    EXPECT_EQ(call(3, Method::ReadPort, {0x71, 4}), Status::Done);
    EXPECT_EQ(caller->message.words[0], std::uint64_t{0x71} * 4);
    EXPECT_EQ(call(3, Method::ReadPort, {0x73, 4}), Status::InvalidArgument);
    EXPECT_EQ(call(3, Method::ReadPort, {0x6f, 1}), Status::InvalidArgument);
    EXPECT_EQ(call(3, Method::ReadPort, {0x76, 1}), Status::InvalidArgument);
    EXPECT_EQ(call(3, Method::ReadPort, {0x70, 2}), Status::InvalidArgument);
    EXPECT_EQ(call(3, Method::WritePort, {0x70, 1, 0x42}), Status::Done);
    EXPECT_EQ(hardware.written, 0x42U);
}

TEST_F(Methods, ASendHasNoAnswer) {
    at(3).capability = {.type = Type::IoPorts, .rights = all_rights, .object = 0x70 | 0x75 << 16};
    EXPECT_EQ(call(3, Method::ReadPort, {0x71, 1}, SystemCall::Send), Status::Done);
    EXPECT_EQ(caller->message.length, 2U);
    EXPECT_EQ(caller->message.words[1], 1U);
    EXPECT_EQ(call(3, Method::ReadPort, {0x71, 1}, SystemCall::Recv), Status::InvalidCapability);
}

}  // namespace
}  // namespace kern::test
