// SPDX-License-Identifier: MIT
// Who is called when, with the reference answers: a guest in memory, and traps that no CPU has
// raised.
#include "vmm/soft/guest.hh"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include "kern/arch/host/fake.hh"
#include "kern/mm/frame_allocator.hh"
#include "vmm/apic_page.hh"
#include "vmm/frame_owners.hh"
#include "vmm/hypercall.hh"
#include "vmm/x86.hh"

namespace vmm::soft {
namespace {

using Next = SoftGuest::Next;

class FlatMemory final : public GuestMemory {
   public:
    static constexpr std::size_t pages = 32;
    FlatMemory() {
        for (Hpa& frame : frames_) frame = *kern::frames().allocate(vmm::frame_owner::guest_memory);
    }
    Hpa table_root() const override { return {}; }
    std::expected<void, Error> serve_fault(const exit::NestedPageFault&) override {
        return std::unexpected{Error::NotFound};
    }
    std::expected<Hpa, Error> gpa2hpa(Gpa gpa) const override {
        if (gpa.value() / page_size >= pages) return std::unexpected{Error::NotFound};
        return frames_[gpa.value() / page_size] + gpa.page_offset();
    }
    bool is_writable(Gpa gpa) const override { return gpa2hpa(gpa).has_value(); }
    void set_shootdown(Shootdown, void*) override {}

    bool has(Hpa frame) const { return std::ranges::find(frames_, frame) != frames_.end(); }
    void put(std::uint32_t gpa, std::uint32_t value) {
        std::memcpy(at(gpa), &value, sizeof(value));
    }
    void put(std::uint32_t gpa, const std::vector<std::uint8_t>& bytes) {
        std::memcpy(at(gpa), bytes.data(), bytes.size());
    }
    std::uint32_t get(std::uint32_t gpa) const {
        std::uint32_t value = 0;
        std::memcpy(&value, at(gpa), sizeof(value));
        return value;
    }

   private:
    std::byte* at(std::uint32_t gpa) const {
        return kern::arch::direct_map(frames_[gpa / page_size] + gpa % page_size);
    }
    std::array<Hpa, pages> frames_;
};

class MapTable final : public ShadowTable {
   public:
    std::expected<void, Error> set(Gva page, const ShadowEntry& entry) override {
        entries[page.value()] = entry;
        return {};
    }
    std::optional<ShadowEntry> get(Gva page) const override {
        const auto found = entries.find(page.value());
        if (found == entries.end()) return std::nullopt;
        return found->second;
    }
    void clear(Gva page) override { entries.erase(page.value()); }
    void clear_4_mib(Gva first) override {
        std::erase_if(entries, [first](const auto& each) {
            return each.first / 0x40'0000 == first.value() / 0x40'0000;
        });
    }
    void clear_all() override { entries.clear(); }
    void protect(Hpa frame) override {
        for (auto& [page, entry] : entries)
            if (entry.frame == frame) entry.write = false;
    }
    std::map<std::uint64_t, ShadowEntry> entries;
};

class MapMachine final : public ShadowMachine {
   public:
    MapTable& table(unsigned slot, bool user) override { return tables_[2 * slot + user]; }
    void flush_page(Gva) override {}
    void flush_all() override {}

   private:
    std::array<MapTable, std::size_t{2} * shadow_slots> tables_;
};

/// The byte that OUT has sent.
class OnePort final : public PortBus {
   public:
    std::uint32_t read(std::uint16_t, unsigned) override { return 0; }
    void write(std::uint16_t, unsigned, std::uint32_t value) override { sent = value; }
    std::uint32_t sent = 0;
};

/// One register of 4 bytes.
class OneRegister final : public MmioDevice {
   public:
    std::expected<std::uint64_t, Error> read(const MmioAccess& access) override {
        if (access.offset != 0) return std::unexpected{Error::Unsupported};
        return value;
    }
    std::expected<void, Error> write(const MmioAccess& access, std::uint64_t written) override {
        if (access.offset != 0) return std::unexpected{Error::Unsupported};
        value = written;
        return {};
    }
    std::uint64_t value = 0;
};

class SoftGuestTest : public testing::Test {
   protected:
    static constexpr std::uint32_t gdt = 0x1000, idt = 0x2000, tss = 0x3000, stack0 = 0x6000,
                                   code = 0x9000, directory = 0xa000, table = 0xb000,
                                   user_stack = 0xd000, other_directory = 0xe000,
                                   other_table = 0xf000;
    static constexpr std::uint16_t kernel_code = 0x08, kernel_data = 0x10, user_code = 0x1b,
                                   user_data = 0x23;
    static constexpr std::uint8_t timer = 0x50, own = 0x51;

    void SetUp() override {
        kern::arch::fake::reset();
        memory_ = std::make_unique<FlatMemory>();
        ASSERT_TRUE(mmio_.attach(ApicPage::address, page_size, device_));
        apic_.set_mode(X2Apic::Mode::Xapic);
        apic(0xf0, 0x1ff);  // enabled
        make(Shadows::Keeping::OnDemand);
    }
    void make(Shadows::Keeping keeping) {
        guest_ = std::make_unique<SoftGuest>(
            memory(), Devices{.ports = port_, .mmio = mmio_, .apic = apic_}, machine_, keeping);
        guest().start(code);
        constexpr std::uint64_t flat = 0x00cf'9200'0000'ffff, ring_3 = 3ULL << 45,
                                is_code = 8ULL << 40;
        const auto descriptor = [this](std::uint16_t selector, std::uint64_t value) {
            memory().put(gdt + (selector & ~7U), static_cast<std::uint32_t>(value));
            memory().put(gdt + (selector & ~7U) + 4, static_cast<std::uint32_t>(value >> 32));
        };
        descriptor(kernel_code, flat | is_code);
        descriptor(kernel_data, flat);
        descriptor(user_code, flat | is_code | ring_3);
        descriptor(user_data, flat | ring_3);
        memory().put(tss + 4, stack0);
        memory().put(tss + 8, kernel_data);
        for (unsigned vector = 0; vector < 256; ++vector) {
            const unsigned dpl = vector == 0x80 || vector == 3 ? 3 : 0;
            memory().put(idt + 8 * vector, kernel_code << 16 | handler(vector));
            memory().put(idt + 8 * vector + 4, 0x8e00 | dpl << 13);
        }
        cpu().gdtr = {.base = gdt, .limit = 0x2f};
        cpu().idtr = {.base = idt, .limit = 256 * 8 - 1};
        cpu().tr = {.selector = 0x28, .base = tss, .limit = 0x67};
        cpu().selectors = {kernel_data, kernel_code, kernel_data, kernel_data, 0, 0};
        cpu().registers.rsp = stack0;
    }
    static constexpr std::uint32_t handler(unsigned vector) { return 0x4000 + 8 * vector; }
    void in_program() {
        cpu().user_mode = true;
        cpu().interrupts_enabled = true;
        cpu().selectors = {user_data, user_code, user_data, user_data, 0, 0};
        cpu().registers.rsp = user_stack;
    }
    /// Two directories, which map what there is of memory, and the device's page, alike.
    void with_paging() {
        for (const auto& [root, last] :
             {std::pair{directory, table}, std::pair{other_directory, other_table}}) {
            memory().put(root, last | 7);
            for (std::uint32_t i = 0; i < FlatMemory::pages; ++i)
                memory().put(last + 4 * i, i << 12 | 0x67);
            memory().put(last + 4 * 1000,
                         static_cast<std::uint32_t>(ApicPage::address.value()) | 7);
        }
        cpu().cr3 = directory;
        cpu().cr0 |= static_cast<std::uint32_t>(cr0::paging | cr0::write_protect);
    }
    void apic(std::uint64_t offset, std::uint32_t value) {
        ASSERT_TRUE(apic_.write_page(offset, value, now_));
    }
    /// The guest is at this instruction, which has trapped.
    Next trap(std::uint8_t vector, const std::vector<std::uint8_t>& bytes,
              std::uint32_t error_code = 0, std::uint32_t address = 0) {
        memory().put(static_cast<std::uint32_t>(cpu().registers.rip), bytes);
        return guest().serve({.vector = vector, .error_code = error_code, .address = address},
                             now_);
    }
    /// \#GP with error code 0.
    Next refused(const std::vector<std::uint8_t>& bytes) {
        return trap(vector::general_protection, bytes);
    }
    std::uint32_t pushed(unsigned index) {
        return memory().get(static_cast<std::uint32_t>(cpu().registers.rsp) + 4 * index);
    }
    bool steps() { return (cpu().registers.rflags & rflags::trap) != 0; }

    FlatMemory& memory() { return *memory_; }
    SoftGuest& guest() { return *guest_; }
    SoftCpu& cpu() { return guest_->cpu; }
    const SoftGuest::Counts& counts() { return guest_->counts(); }

    static constexpr std::uint8_t cli = 0xfa, sti = 0xfb, hlt = 0xf4, nop = 0x90;
    std::uint64_t now_ = 1'000;
    OnePort port_;
    OneRegister device_;
    MmioBus mmio_;
    X2Apic apic_{0};
    MapMachine machine_;

   private:
    std::unique_ptr<FlatMemory> memory_;
    std::unique_ptr<SoftGuest> guest_;
};

TEST_F(SoftGuestTest, BeginsAsAMultiboot2KernelDoes) {
    guest().start(0x10'0000);
    EXPECT_EQ(cpu().registers.rip, 0x10'0000U);
    EXPECT_EQ(cpu().registers.rax, 0x36d7'6289U);
    EXPECT_FALSE(cpu().user_mode || cpu().interrupts_enabled || cpu().halted);
    EXPECT_EQ(cpu().cr0, 0x11U) << "protected mode, no paging";
}

TEST_F(SoftGuestTest, ThePrivilegedIsEmulated) {
    cpu().interrupts_enabled = true;
    EXPECT_EQ(refused({cli}), Next::Enter);
    EXPECT_FALSE(cpu().interrupts_enabled);
    EXPECT_EQ(cpu().registers.rip, code + 1U);
    cpu().registers.rax = 'x';
    EXPECT_EQ(refused({0xe6, 0x80}), Next::Enter);  // OUT
    EXPECT_EQ(port_.sent, unsigned{'x'});
    EXPECT_EQ(counts().emulated, 2U);
}

TEST_F(SoftGuestTest, WhatAProgramMayNotDoIsItsKernelsAffair) {
    in_program();
    EXPECT_EQ(refused({cli}), Next::Enter);
    EXPECT_EQ(cpu().registers.rip, handler(vector::general_protection));
    EXPECT_FALSE(cpu().user_mode);
    EXPECT_EQ(pushed(0), 0U) << "the error code";
    EXPECT_EQ(pushed(1), code);
    EXPECT_EQ(counts().faults, 1U);
}

TEST_F(SoftGuestTest, ARewrittenSiteIsWhatItWas) {
    ASSERT_TRUE(guest().sites.push(
        {.address = code, .length = 1, .bytes = {std::byte{0x9d}, std::byte{}}}));  // POPF
    cpu().registers.rsp = stack0 - 4;
    memory().put(stack0 - 4, 0x202);
    EXPECT_EQ(refused({hlt}), Next::Enter);
    EXPECT_TRUE(cpu().interrupts_enabled);
    EXPECT_FALSE(cpu().halted);
    EXPECT_EQ(counts().rewritten, 1U);

    cpu().registers.rip = code;
    in_program();
    EXPECT_EQ(refused({hlt}), Next::Enter);
    EXPECT_EQ(cpu().registers.rip, handler(vector::general_protection)) << "a program's own HLT";
    EXPECT_EQ(counts().rewritten, 1U);
}

TEST_F(SoftGuestTest, SoftwareInterruptsGoToTheirHandlers) {
    in_program();
    EXPECT_EQ(trap(vector::general_protection, {0xcd, 0x80}, 0x802), Next::Enter);
    EXPECT_EQ(cpu().registers.rip, handler(0x80));
    EXPECT_EQ(pushed(0), code + 2U);
    in_program();
    cpu().registers.rip = code + 1;  // INT3 comes to the host with RIP behind it
    memory().put(code, std::vector<std::uint8_t>{0xcc});
    EXPECT_EQ(guest().serve({.vector = vector::breakpoint}, now_), Next::Enter);
    EXPECT_EQ(cpu().registers.rip, handler(vector::breakpoint));
    EXPECT_EQ(pushed(0), code + 1U);
    EXPECT_EQ(counts().software_interrupts, 2U);
}

TEST_F(SoftGuestTest, OtherExceptionsHaveTheirErrorCodes) {
    EXPECT_EQ(trap(0, {0xf7, 0xf0}, 0), Next::Enter);  // #DE has none
    EXPECT_EQ(cpu().registers.rip, handler(0));
    EXPECT_EQ(pushed(0), code);
    EXPECT_EQ(trap(vector::alignment_check, {nop}, 0), Next::Enter);
    EXPECT_EQ(pushed(0), 0U);
    EXPECT_EQ(pushed(1), handler(0));
}

TEST_F(SoftGuestTest, AHypercallOfTheKernelEndsIt) {
    cpu().registers.rax = hypercall::exit;
    cpu().registers.rbx = 42;
    cpu().registers.rdx = hypercall::signature;
    EXPECT_EQ(trap(vector::invalid_opcode, {0x0f, 0x01, 0xc1}), Next::Exited);
    EXPECT_EQ(guest().status, 42U);
    in_program();
    EXPECT_EQ(trap(vector::invalid_opcode, {0x0f, 0x01, 0xd9}), Next::Enter) << "not a program's";
    EXPECT_EQ(cpu().registers.rip, handler(vector::invalid_opcode));
    cpu().registers.rdx = 0;
    EXPECT_EQ(trap(vector::invalid_opcode, {0x0f, 0x01, 0xd9}), Next::Enter) << "no signature";
    EXPECT_EQ(pushed(0), handler(vector::invalid_opcode));
}

TEST_F(SoftGuestTest, WhatCannotBeDeliveredEndsIt) {
    cpu().idtr.limit = 0;
    EXPECT_EQ(trap(vector::invalid_opcode, {0x0f, 0x0b}), Next::Ended);
    EXPECT_FALSE(guest().reason.empty());
}

TEST_F(SoftGuestTest, PageFaultsFillTheShadowOrAreTheGuests) {
    with_paging();
    EXPECT_EQ(trap(vector::page_fault, {nop}, 4, user_stack), Next::Enter);
    EXPECT_TRUE(guest().table().get(Gva{user_stack}));
    EXPECT_EQ(counts().filled, 1U);
    EXPECT_EQ(trap(vector::page_fault, {nop}, 6, 0x7000'0000), Next::Enter);
    EXPECT_EQ(cpu().registers.rip, handler(vector::page_fault));
    EXPECT_EQ(cpu().cr2, 0x7000'0000U);
    EXPECT_EQ(pushed(0), 2U) << "of the guest's ring, not the real one";
}

TEST_F(SoftGuestTest, WhereNothingIsItEnds) {
    EXPECT_EQ(trap(vector::page_fault, {0xa1, 0, 0, 0, 0x7f}, 4, 0x7f00'0000), Next::Ended);
}

TEST_F(SoftGuestTest, RegistersOfDevicesAreLoadedAndStored) {
    with_paging();
    constexpr std::uint32_t address = 1000 << 12;
    const auto at = [](std::vector<std::uint8_t> opcode, std::uint32_t value) {
        for (unsigned i = 0; i < 4; ++i)
            opcode.push_back(static_cast<std::uint8_t>(value >> 8 * i));
        return opcode;
    };
    cpu().registers.rcx = 0x1234'5678;
    EXPECT_EQ(trap(vector::page_fault, at({0x89, 0x0d}, address), 6, address), Next::Enter);
    EXPECT_EQ(device_.value, 0x1234'5678U);
    EXPECT_EQ(cpu().registers.rip, code + 6U);
    EXPECT_EQ(trap(vector::page_fault, at({0x8b, 0x15}, address), 4, address), Next::Enter);
    EXPECT_EQ(cpu().registers.rdx, 0x1234'5678U);
    EXPECT_EQ(cpu().registers.rip, code + 12U);
    EXPECT_EQ(trap(vector::page_fault, at({0x8b, 0x15}, address + 4), 4, address + 4), Next::Ended)
        << "there is no such register";
    EXPECT_EQ(trap(vector::page_fault, at({0x01, 0x0d}, address), 6, address), Next::Ended)
        << "ADD is neither";
    EXPECT_EQ(trap(vector::page_fault, at({0x8a, 0x0d}, address), 4, address), Next::Ended)
        << "a byte is no register";
    EXPECT_EQ(cpu().registers.rip, code + 12U);
    EXPECT_EQ(device_.value, 0x1234'5678U);
}

TEST_F(SoftGuestTest, AWriteToCr3ForgetsWithOptionOneAndChangesThePairWithOptionTwo) {
    const std::vector<std::uint8_t> mov_eax_cr3{0x0f, 0x22, 0xd8};
    for (const auto keeping : {Shadows::Keeping::OnDemand, Shadows::Keeping::Traced}) {
        make(keeping);
        with_paging();
        cpu().registers.rax = directory;
        EXPECT_EQ(refused(mov_eax_cr3), Next::Enter);
        EXPECT_EQ(trap(vector::page_fault, {nop}, 4, user_stack), Next::Enter);
        cpu().registers.rax = other_directory;
        EXPECT_EQ(refused(mov_eax_cr3), Next::Enter);
        EXPECT_FALSE(guest().table().get(Gva{user_stack}));
        cpu().registers.rax = directory;
        EXPECT_EQ(refused(mov_eax_cr3), Next::Enter);
        EXPECT_EQ(guest().table().get(Gva{user_stack}).has_value(),
                  keeping == Shadows::Keeping::Traced);
    }
}

TEST_F(SoftGuestTest, AWriteToATracedTableIsDoneOrDropsTheShadow) {
    make(Shadows::Keeping::Traced);
    with_paging();
    cpu().registers.rax = directory;
    EXPECT_EQ(refused({0x0f, 0x22, 0xd8}), Next::Enter);
    EXPECT_EQ(trap(vector::page_fault, {nop}, 4, user_stack), Next::Enter);
    cpu().registers.rdi = table + 4 * (user_stack >> 12);
    cpu().registers.rcx = 0;
    const auto at = static_cast<std::uint32_t>(cpu().registers.rdi);
    EXPECT_EQ(trap(vector::page_fault, {0x89, 0x0f}, 7, at), Next::Enter);  // MOV
    EXPECT_EQ(memory().get(at), 0U);
    EXPECT_FALSE(guest().table().get(Gva{user_stack}));
    EXPECT_EQ(trap(vector::page_fault, {0x01, 0x0f}, 7, at), Next::Enter);  // ADD
    EXPECT_EQ(counts().traced, 1U);
    EXPECT_EQ(counts().dropped, 1U);
}

TEST_F(SoftGuestTest, AChangeOfPagingForgetsAll) {
    const std::vector<std::uint8_t> mov_eax_cr0{0x0f, 0x22, 0xc0};
    for (const auto keeping : {Shadows::Keeping::OnDemand, Shadows::Keeping::Traced}) {
        make(keeping);
        EXPECT_EQ(trap(vector::page_fault, {nop}, 4, user_stack), Next::Enter);
        ASSERT_TRUE(guest().table().get(Gva{user_stack}));
        with_paging();
        cpu().cr0 &= ~static_cast<std::uint32_t>(cr0::paging);
        cpu().registers.rax = 0x8001'0011;
        EXPECT_EQ(refused(mov_eax_cr0), Next::Enter);
        EXPECT_FALSE(guest().table().get(Gva{user_stack}));

        EXPECT_EQ(trap(vector::page_fault, {nop}, 4, user_stack), Next::Enter);
        cpu().registers.rax = 0x8000'0011;  // without WP
        EXPECT_EQ(refused(mov_eax_cr0), Next::Enter);
        EXPECT_FALSE(guest().table().get(Gva{user_stack}));
    }
}

TEST_F(SoftGuestTest, AnInterruptComesBeforeTheInstructionThatHasTrapped) {
    in_program();
    apic_.post(own);
    EXPECT_EQ(refused({cli}), Next::Enter);
    EXPECT_EQ(cpu().registers.rip, handler(own));
    EXPECT_EQ(pushed(0), code) << "it will trap again";
    EXPECT_EQ(counts().interrupts, 1U);
    EXPECT_EQ(counts().faults, 0U);
}

TEST_F(SoftGuestTest, AnInterruptWaitsForIfAndForTheEndOfTheOneBefore) {
    apic_.post(own);
    EXPECT_EQ(guest().look_at_clock(now_), Next::Enter);
    EXPECT_EQ(cpu().registers.rip, code) << "IF is 0";
    cpu().interrupts_enabled = true;
    EXPECT_EQ(guest().look_at_clock(now_), Next::Enter);
    EXPECT_EQ(cpu().registers.rip, handler(own));
    cpu().interrupts_enabled = true;
    apic_.post(timer);
    EXPECT_EQ(guest().look_at_clock(now_), Next::Enter);
    EXPECT_EQ(cpu().registers.rip, handler(own)) << "of the same class";
    apic(0xb0, 0);  // EOI
    EXPECT_EQ(guest().look_at_clock(now_), Next::Enter);
    EXPECT_EQ(cpu().registers.rip, handler(timer));
}

TEST_F(SoftGuestTest, BehindStiTheCpuStepsIfAnInterruptWaits) {
    EXPECT_EQ(refused({sti}), Next::Enter);
    EXPECT_FALSE(steps()) << "nothing waits";
    cpu().interrupts_enabled = false;
    apic_.post(own);
    EXPECT_EQ(refused({sti}), Next::Enter);
    EXPECT_EQ(cpu().registers.rip, code + 2U) << "the shadow";
    EXPECT_TRUE(steps());
    cpu().registers.rip = code + 3;  // NOP has run
    EXPECT_EQ(guest().serve({.vector = vector::debug}, now_), Next::Enter);
    EXPECT_EQ(cpu().registers.rip, handler(own));
    EXPECT_EQ(pushed(0), code + 3U);
    EXPECT_EQ(pushed(2) & 0x100, 0U) << "TF was not the guest's";
    EXPECT_FALSE(steps());
    EXPECT_EQ(counts().faults, 0U) << "nor is the exception";
}

TEST_F(SoftGuestTest, BetweenStiAndCliNothingComes) {
    apic_.post(own);
    EXPECT_EQ(refused({sti}), Next::Enter);
    EXPECT_EQ(refused({cli}), Next::Enter);
    EXPECT_EQ(cpu().registers.rip, code + 2U);
    EXPECT_FALSE(cpu().interrupts_enabled || steps());
}

TEST_F(SoftGuestTest, ALoopOfOneInstructionIsNoShadow) {
    EXPECT_EQ(refused({sti}), Next::Enter);
    apic_.post(own);  // a device's
    // JMP to itself: RIP says nothing.
    EXPECT_EQ(guest().look_at_clock(now_), Next::Enter);
    EXPECT_EQ(cpu().registers.rip, code + 1U);
    EXPECT_TRUE(steps());
    EXPECT_EQ(guest().serve({.vector = vector::debug}, now_), Next::Enter);
    EXPECT_EQ(cpu().registers.rip, handler(own));
}

TEST_F(SoftGuestTest, AGuestThatStepsGetsItsDebugException) {
    cpu().registers.rflags |= rflags::trap;
    apic_.post(own);
    EXPECT_EQ(refused({sti}), Next::Enter);
    cpu().registers.rip = code + 2;
    EXPECT_EQ(guest().serve({.vector = vector::debug}, now_), Next::Enter);
    EXPECT_EQ(cpu().registers.rip, handler(vector::debug)) << "first; its gate clears IF";
    EXPECT_NE(pushed(2) & 0x100, 0U) << "TF is the guest's";
    EXPECT_FALSE(steps());
}

TEST_F(SoftGuestTest, HltWaitsForTheTimer) {
    apic(0x3e0, 0xb);    // divide by 1
    apic(0x320, timer);  // once
    apic(0x380, 5'000);  // in 5000 ns
    cpu().interrupts_enabled = true;
    EXPECT_EQ(refused({hlt}), Next::Wait);
    EXPECT_EQ(guest().look_at_clock(now_ + 4'000), Next::Wait);
    EXPECT_EQ(guest().look_at_clock(now_ + 5'000), Next::Enter);
    EXPECT_EQ(cpu().registers.rip, handler(timer));
    EXPECT_EQ(pushed(0), code + 1U) << "behind HLT";
    EXPECT_FALSE(cpu().halted);
}

TEST_F(SoftGuestTest, HltForEverEndsIt) {
    cpu().interrupts_enabled = true;
    EXPECT_EQ(refused({hlt}), Next::Ended) << "no timer";
    make(Shadows::Keeping::OnDemand);
    apic(0x320, timer);
    apic(0x380, 5'000);
    EXPECT_EQ(refused({hlt}), Next::Ended) << "no IF";
}

/// A sequence that looks like chance.
class Chance {
   public:
    std::uint32_t next() {
        state_ = state_ * 6364136223846793005 + 1442695040888963407;
        return static_cast<std::uint32_t>(state_ >> 33);
    }
    std::uint32_t below(std::uint32_t end) { return next() % end; }

   private:
    std::uint64_t state_ = 1;
};

/// An instruction of those that trap, or of those that write, with an operand by chance; or bytes.
std::vector<std::uint8_t> any_instruction(Chance& chance) {
    static const std::vector<std::vector<std::uint8_t>> opcodes{
        {0xfa}, {0xfb},       {0xf4},       {0x9c},       {0x9d},       {0xcf}, {0xcd},
        {0xcc}, {0xea},       {0x8c},       {0x8e},       {0xe4},       {0xe6}, {0xec},
        {0xef}, {0x0f, 0x20}, {0x0f, 0x22}, {0x0f, 0x01}, {0x0f, 0x00}, {0x89}, {0xc7},
        {0xa3}, {0x8b},       {0xf3, 0xab}, {0x66, 0x89}, {0x0f, 0xb6}, {0x87}, {},
    };
    std::vector<std::uint8_t> made =
        opcodes[chance.below(static_cast<std::uint32_t>(opcodes.size()))];
    while (made.size() < 16) made.push_back(static_cast<std::uint8_t>(chance.next()));
    return made;
}

TEST_F(SoftGuestTest, NothingThatAGuestDoesHarmsTheHost) {
    // 100,000 times an instruction has trapped, in a machine whose registers and tables are by
    // chance. The sanitizers judge, and no entry of a shadow may lead to a frame that is not the
    // guest's.
    Chance chance;
    const auto address = [&chance] {
        const std::uint32_t any = chance.next() << 1 | chance.below(2);
        constexpr std::uint32_t end = FlatMemory::pages * page_size;
        return chance.below(4) == 0 ? any : any % end;
    };
    static constexpr std::array<std::uint8_t, 8> vectors{0, 1, 3, 6, 13, 13, 14, 14};
    constexpr std::uint64_t last_instruction = FlatMemory::pages * page_size - 16;
    std::array<unsigned, 4> ends{};
    for (unsigned round = 0; round < 100; ++round) {
        make(round % 2 == 0 ? Shadows::Keeping::OnDemand : Shadows::Keeping::Traced);
        with_paging();
        for (unsigned i = 0; i < 1000; ++i) {
            now_ += chance.below(1'000'000);
            for (const auto reg : general_registers)
                if (chance.below(4) == 0) cpu().registers.*reg = address();
            cpu().registers.rip = address();
            cpu().registers.rflags = chance.next() & (program_flags | 0x202);
            if (chance.below(8) == 0) cpu().cr3 = address();
            if (chance.below(8) == 0) cpu().user_mode = chance.below(2) != 0;
            if (chance.below(64) == 0) cpu().gdtr.base = address();
            if (chance.below(64) == 0) cpu().idtr.base = address();
            if (chance.below(64) == 0) cpu().tr.base = address();
            if (chance.below(8) == 0) apic_.post(static_cast<std::uint8_t>(chance.below(256)));
            const std::vector<std::uint8_t> bytes = any_instruction(chance);
            memory().put(static_cast<std::uint32_t>(
                             std::min<std::uint64_t>(cpu().registers.rip, last_instruction)),
                         bytes);
            const Next next = guest().serve({.vector = vectors[chance.below(vectors.size())],
                                             .error_code = chance.below(16) * chance.below(64),
                                             .address = address()},
                                            now_);
            ++ends[static_cast<std::size_t>(next)];
            if (next == Next::Ended) {
                guest().start(code);
                cpu().gdtr = {.base = gdt, .limit = 0xffff};
                cpu().idtr = {.base = idt, .limit = 256 * 8 - 1};
                with_paging();
            }
            cpu().halted = false;
        }
        for (unsigned slot = 0; slot < shadow_slots; ++slot)
            for (const bool user : {false, true})
                for (const auto& [page, entry] : machine_.table(slot, user).entries)
                    ASSERT_TRUE(memory().has(entry.frame)) << std::hex << page;
    }
    EXPECT_GT(ends[0], 10'000U) << "many of them go on";
}

}  // namespace
}  // namespace vmm::soft
