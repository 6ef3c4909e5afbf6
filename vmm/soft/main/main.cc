// SPDX-License-Identifier: MIT
// The kernel without virtualization instructions: runs its boot module, a kernel of 32 bits, in ring 3
// (docs/software-virtualization.md). Words of its command line: "traced" for the lecture's option two,
// "unpatched" to leave the sensitive sites as they are.
#include <memory>
#include <new>

#include "kern/arch/arch.hh"
#include "kern/arch/segments.hh"
#include "kern/arch/user.hh"
#include "kern/arch/user_32.hh"
#include "kern/boot/boot_info.hh"
#include "kern/lib/panic.hh"
#include "kern/lib/print.hh"
#include "vmm/soft/guest.hh"
#include "vmm/soft/main/hardware.hh"
#include "vmm/soft/main/image.hh"
#include "vmm/x86.hh"

namespace vmm::soft {
namespace {

using kern::kprint;

/// After so many traps a guest that does not end is stopped.
constexpr std::uint64_t most_traps = 1'000'000;

/// The one device: a serial port that is always ready. Its lines are printed.
class Console final : public PortBus {
   public:
    std::uint32_t read(std::uint16_t port, unsigned) override {
        return port == line_status ? transmitter_empty : ~0U;
    }
    void write(std::uint16_t port, unsigned size, std::uint32_t value) override {
        if (port != data || size != 1) return;
        if (value == '\n' || length_ == line_.size()) {
            kprint("[guest] {}\n", std::string_view{line_.data(), length_});
            length_ = 0;
        }
        if (value != '\n') line_[length_++] = static_cast<char>(value);
    }

   private:
    static constexpr std::uint16_t data = 0x3f8, line_status = 0x3fd;
    static constexpr std::uint32_t transmitter_empty = 0x60;
    std::array<char, 100> line_{};
    std::size_t length_ = 0;
};

/// Everything of this one guest.
struct Host {
    SoftMemory memory;
    HardwareMachine machine;
    Console console;
    SoftGuest guest;

    explicit Host(Shadows::Keeping keeping) : guest{memory, console, machine, keeping} {}
};
Host* host;

///@{
/// Between the frame of a trap and the guest's registers.
void take(const kern::arch::TrapFrame& frame, Registers& to) {
    to.rax = frame.rax;
    to.rcx = frame.rcx;
    to.rdx = frame.rdx;
    to.rbx = frame.rbx;
    to.rsp = frame.rsp;
    to.rbp = frame.rbp;
    to.rsi = frame.rsi;
    to.rdi = frame.rdi;
    to.rip = frame.rip;
    to.rflags = frame.rflags;
}
kern::arch::TrapFrame frame_of(const Registers& from) {
    kern::arch::TrapFrame frame{};
    frame.rax = from.rax;
    frame.rcx = from.rcx;
    frame.rdx = from.rdx;
    frame.rbx = from.rbx;
    frame.rsp = from.rsp;
    frame.rbp = from.rbp;
    frame.rsi = from.rsi;
    frame.rdi = from.rdi;
    frame.rip = from.rip;
    frame.rflags = (from.rflags & program_flags) | rflags::reserved_one | rflags::interrupt_enable;
    frame.cs = kern::arch::selector::user_code;
    frame.ss = kern::arch::selector::user_data;
    return frame;
}
///@}

[[noreturn]] void enter() {
    host->machine.use(static_cast<const HardwareTable&>(host->guest.table()));
    kern::arch::enter_user_32(frame_of(host->guest.cpu.registers));
}

void begin() {
    kern::arch::allow_32_bit_programs_only();
    enter();
}

void on_trap(const kern::arch::TrapFrame& frame) {
    SoftGuest& guest = host->guest;
    const HostTrap trap{.vector = static_cast<std::uint8_t>(frame.vector),
                        .error_code = static_cast<std::uint32_t>(frame.error_code),
                        .address = static_cast<std::uint32_t>(kern::arch::fault_address())};
    take(frame, guest.cpu.registers);
    if (frame.vector >= vector::first_interrupt) enter();  // the machine's own, and served
    const SoftGuest::Next next = guest.serve(trap);
    if (next == SoftGuest::Next::Enter && guest.counts().traps < most_traps) enter();
    if (next == SoftGuest::Next::Exited)
        kprint("guest: exited with {}\n", guest.status);
    else
        kprint("guest: ended, {}; EIP 0x{:x}, vector {}, error code 0x{:x}, address 0x{:x}\n",
               next == SoftGuest::Next::Ended ? guest.reason : "too many traps",
               guest.cpu.registers.rip, trap.vector, trap.error_code, trap.address);
    kern::arch::use_kernel_address_space();
    kern::arch::leave_user_mode();
}

bool run(const kern::BootInfo& boot) {
    if (boot.modules.empty()) {
        kprint("nestling-soft: no boot module: give it a kernel of 32 bits\n");
        return false;
    }
    const std::string_view words = boot.command_line.view();
    const bool traced = words.find("traced") != std::string_view::npos;
    const bool patched = words.find("unpatched") == std::string_view::npos;
    host = new (std::nothrow) Host{traced ? Shadows::Keeping::Traced : Shadows::Keeping::OnDemand};
    if (host == nullptr || !host->memory.create() || !host->machine.create()) {
        kprint("nestling-soft: {}\n", Error::OutOfMemory);
        return false;
    }
    const kern::MemoryRange& range = boot.modules[0].range;
    const auto entry = load_image({kern::arch::direct_map(range.begin), range.size()}, host->memory,
                                  patched ? &host->guest.sites : nullptr);
    if (!entry) {
        kprint("guest: its image is refused: {}\n", entry.error());
        return false;
    }
    kprint("guest: entry 0x{:x}, {} sites rewritten, {}\n", *entry, host->guest.sites.size(),
           traced ? "tables traced" : "shadows on demand");
    host->guest.start(*entry);
    const bool enabled = kern::arch::disable_interrupts();
    kern::arch::run_user_mode(&begin, &on_trap);
    kern::arch::restore_interrupts(enabled);
    const SoftGuest::Counts& counts = host->guest.counts();
    kprint(
        "guest: {} traps: {} emulated, {} rewritten, {} software interrupts, {} faults of its own, "
        "{} filled, {} traced, {} dropped\n",
        counts.traps, counts.emulated, counts.rewritten, counts.software_interrupts, counts.faults,
        counts.filled, counts.traced, counts.dropped);
    return true;
}

}  // namespace
}  // namespace vmm::soft

extern "C" void kernel_main(const kern::BootInfo& boot) {
    kern::kprint("nestling-soft: {} CPUs, booted by {}\n", kern::arch::cpu_count(),
                 kern::describe(boot.protocol));
    kern::arch::power_off(vmm::soft::run(boot) ? 0 : 1);
}
