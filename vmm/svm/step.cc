// SPDX-License-Identifier: MIT
// What the guest does under the host's eyes, one instruction at a time:
//
// IRET at the end of an NMI's handler. The next NMI must not come before it has been executed: it
// would find the stack still in use.
//
// LTR. With a null selector it is a #GP [amd/vol3 4], but QEMU takes that selector, and ends itself
// ("invalid tss") at the next event that wants a stack from the TSS.
#include <optional>

#include "vmm/svm/exits.hh"
#include "vmm/svm/start_state.hh"
#include "vmm/svm/vcpu.hh"

namespace vmm::svm {
namespace {

/// EVENTINJ for the exception that has exited, error code included [amd/vol2 15.12]; nothing if the
/// exit is none, or #DB or #AC, which the run loop serves.
std::optional<std::uint64_t> exception_of(const Exit& exit) {
    constexpr std::uint32_t with_error_code = 0x6022'7d00;  // 8, 10 to 14, 17, 21, 29, 30
    const std::uint64_t number = exit.code - exit_code::exception;
    if (number >= 32 || (intercepted_exceptions >> number & 1) != 0) return std::nullopt;
    const std::uint64_t value = event::valid | event::type_exception | number;
    if ((with_error_code >> number & 1) == 0) return value;
    return value | event::has_error_code | exit.information[0] << event::error_code_shift;
}

}  // namespace

void SvmVcpu::begin_step(std::uint32_t intercept) {
    SaveArea& save = vmcb().save;
    step_ = {.intercept = intercept,
             .rip = registers.rip,
             .dr6 = save.dr6,
             .by_guest = (registers.rflags & rflags::trap) != 0,
             .task = save.tr};
    vmcb().control.intercept1 &= ~intercept;
    vmcb().control.intercept_exceptions = ~0U;
    save.dr6 &= ~dr6::single_step;
    registers.rflags |= rflags::trap;
}

/// The intercept is on again.
void SvmVcpu::take_back_step() {
    vmcb().control.intercept1 |= step_.intercept;
    vmcb().control.intercept_exceptions = exceptions_;
    step_.intercept = 0;
}

void SvmVcpu::end_step(Exit& exit) {
    SaveArea& save = vmcb().save;
    const std::uint32_t intercept = step_.intercept;
    const std::uint64_t old_steps = step_.dr6 & dr6::single_step;
    // Not if a breakpoint of the guest's stands on the instruction itself. Bochs leaves BS clear here.
    const bool is_done = exit.code == exit_code::exception + vector::debug &&
                         (registers.rip != step_.rip || (save.dr6 & dr6::single_step) != 0);
    take_back_step();
    // IRET has fetched other flags from the stack.
    if (!step_.by_guest && !(is_done && intercept == intercept1::iret))
        registers.rflags &= ~rflags::trap;
    if (!is_done) {
        // The guest will come to the instruction again; if that has raised an exception, behind it.
        save.dr6 |= old_steps;
        const auto raised = exception_of(exit);
        if (!raised) return;
        vmcb().control.event_injection = *raised;
        if (exit.code == exit_code::exception + vector::page_fault) save.cr2 = exit.information[1];
        exit.reason = vmm::exit::Served{describe(exit)};
        return;
    }
    if (intercept == intercept1::iret) block_nmis(false);
    if (intercept == intercept1::ltr && (save.tr.attributes & segment::present) == 0) {
        save.tr = step_.task;
        save.dr6 = step_.dr6;
        registers.rip = step_.rip;
        exit.reason = vmm::exit::Exception{"LTR of a null selector", vector::general_protection};
    } else if (!step_.by_guest) {
        save.dr6 = step_.dr6;
        exit.reason = vmm::exit::InterruptWindow{};
    }
}

void SvmVcpu::block_nmis(bool blocked) {
    nmis_blocked_ = blocked;
    std::uint32_t& intercepts = vmcb().control.intercept1;
    intercepts = blocked ? intercepts | intercept1::iret : intercepts & ~intercept1::iret;
}

}  // namespace vmm::svm
