// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <vector>

#include "kern/arch/host/fake.hh"
#include "vmm/backend.hh"
#include "vmm/x86.hh"

namespace vmm::test {

/// A vCPU whose guest is a C++ function: it is asked for the next exit.
class FakeVcpu final : public VcpuBackend {
   public:
    using Guest = std::function<Exit(FakeVcpu&)>;

    void start_protected_mode(Gpa entry, std::uint32_t eax, std::uint32_t ebx) override {
        registers = {
            .rax = eax, .rbx = ebx, .rip = entry.value(), .rflags = 2, .cr8 = registers.cr8};
    }
    void start_real_mode(std::uint8_t vector) override {
        registers = {.rip = std::uint64_t{vector} << 12, .rflags = 2, .cr8 = registers.cr8};
        startups.push_back(vector);
    }
    SystemRegisters system_registers() const override {
        SystemRegisters seen = system;
        seen.privilege_level = ring;
        return seen;
    }
    void set_optional_exits(const OptionalExits& wanted) override { optional_exits = wanted; }
    void set_efer(std::uint64_t value) override {
        system.efer = (value & ~efer::long_mode_active) | (system.efer & efer::long_mode_active);
    }
    void set_pat(std::uint64_t value) override { system.pat = value; }
    std::uint64_t tsc_offset() const override { return offset; }
    void set_tsc_offset(std::uint64_t value) override { offset = value; }
    unsigned privilege_level() const override { return ring; }
    void enter_cpu() override { ++entered; }
    void leave_cpu() override { ++left; }
    Exit run() override {
        EXPECT_FALSE(kern::arch::fake::interrupts_enabled()) << "a timer could go off unseen";
        kern::arch::restore_interrupts(true);
        if (return_requested()) return {.reason = exit::ExternalInterrupt{}};
        pending = false;
        return guest(*this);
    }
    bool can_inject_interrupt() const override {
        return can_inject() && (registers.rflags & rflags::interrupt_enable) != 0;
    }
    bool can_inject() const override { return !pending; }
    bool can_inject_nmi() const override { return !pending && !in_nmi_handler; }
    void inject(const Event& event) override {
        EXPECT_TRUE(can_inject()) << "an event was lost";
        pending = true;
        injected.push_back(event.vector);
        error_codes.push_back(event.error_code);
        if (event.cr2) system.cr2 = *event.cr2;
    }
    void request_interrupt_window(bool wanted) override { window = wanted; }
    void skip_instruction(const Exit& exit) override {
        EXPECT_TRUE(can_inject()) << "an event is waiting, and #DB may be due";
        registers.rip += knows_lengths ? exit.instruction_length : 1;
        completed.push_back(exit);
    }
    void flush_tlb() override { ++flushes; }

    Guest guest;
    SystemRegisters system{};
    OptionalExits optional_exits{};
    std::uint64_t offset = 0;
    unsigned ring = 0;
    bool in_nmi_handler = false;
    bool window = false;
    bool pending = false;
    bool knows_lengths = false;   ///< exits carry them; otherwise each instruction has one byte
    std::vector<Exit> completed;  ///< what skip_instruction was given
    int entered = 0, left = 0;
    std::atomic<int> flushes = 0;
    std::vector<std::uint8_t> injected, startups;
    std::vector<std::optional<std::uint32_t>> error_codes;
};

/// The hardware that makes them by `create_vcpu`.
constexpr Backend fake_backend(decltype(Backend::create_vcpu) create_vcpu) {
    return {
        .name = "fake",
        .format = &npt_format,
        .why_unavailable = [] { return static_cast<const char*>(nullptr); },
        .start = [] { return std::expected<void, Error>{}; },
        .enable_on_this_cpu = [] { return std::expected<void, Error>{}; },
        .create_vcpu = create_vcpu,
    };
}

}  // namespace vmm::test
