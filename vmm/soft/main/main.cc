// SPDX-License-Identifier: MIT
// The kernel without virtualization instructions: runs its boot module, a kernel of 32 bits, in
// ring 3 (docs/software-virtualization.md), three times: with the lecture's option one, with option
// two, and with its sensitive sites left as they are.
#include <cstring>
#include <memory>
#include <new>

#include "kern/arch/arch.hh"
#include "kern/arch/segments.hh"
#include "kern/arch/user.hh"
#include "kern/arch/user_32.hh"
#include "kern/boot/boot_info.hh"
#include "kern/lib/panic.hh"
#include "kern/lib/print.hh"
#include "kern/mm/frame_allocator.hh"
#include "vmm/soft/guest.hh"
#include "vmm/soft/main/hardware.hh"
#include "vmm/soft/main/image.hh"
#include "vmm/soft/main/soft_evidence.hh"
#include "vmm/x86.hh"

namespace vmm::soft {
namespace {

using kern::kprint;

///@{
/// After so many traps, or so long, a guest that does not end is stopped. Who never traps is
/// interrupted each slice.
constexpr std::uint64_t most_traps = 1'000'000;
constexpr std::uint64_t longest_ns = 3'000'000'000, slice_ns = 10'000'000;
///@}

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

///@{
/// SoftRecord::end.
constexpr std::uint64_t exited = 1, ended = 2, stopped = 3, refused = 4;
///@}

/// Everything of this one guest.
struct Host {
    SoftMemory memory;
    HardwareMachine machine;
    Console console;
    SoftGuest guest;

    SoftRecord* record;
    std::uint64_t end_at = 0;  // in nanoseconds since boot

    Host(Shadows::Keeping keeping, SoftRecord& its_record)
        : guest{memory, console, machine, keeping}, record{&its_record} {}
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
    host->end_at = kern::arch::nanoseconds() + longest_ns;
    kern::arch::set_timer(slice_ns);
    enter();
}

void on_trap(const kern::arch::TrapFrame& frame) {
    SoftGuest& guest = host->guest;
    const HostTrap trap{.vector = static_cast<std::uint8_t>(frame.vector),
                        .error_code = static_cast<std::uint32_t>(frame.error_code),
                        .address = static_cast<std::uint32_t>(kern::arch::fault_address())};
    take(frame, guest.cpu.registers);
    const bool is_over = kern::arch::nanoseconds() > host->end_at;
    SoftGuest::Next next = SoftGuest::Next::Enter;
    if (frame.vector >= vector::first_interrupt)  // the machine's own, and served
        kern::arch::set_timer(slice_ns);
    if (frame.vector < vector::first_interrupt || (frame.rflags & rflags::virtual_8086) != 0)
        next = guest.serve(trap);
    if (next == SoftGuest::Next::Enter && !is_over && guest.counts().traps < most_traps) enter();
    kern::arch::set_timer(0);
    SoftRecord& record = *host->record;
    if (next == SoftGuest::Next::Exited) {
        record.end = exited;
        record.status = guest.status;
        kprint("guest: exited with {}\n", guest.status);
    } else {
        record.end = next == SoftGuest::Next::Ended ? ended : stopped;
        kprint("guest: ended, {}; EIP 0x{:x}, vector {}, error code 0x{:x}, address 0x{:x}\n",
               next == SoftGuest::Next::Ended ? guest.reason : "it does not come to an end",
               guest.cpu.registers.rip, trap.vector, trap.error_code, trap.address);
    }
    kern::arch::use_kernel_address_space();
    kern::arch::leave_user_mode();
}

/// Runs the guest to its end, and fills `record`.
void run_guest(SoftGuest& guest, SoftRecord& record, std::uint32_t entry) {
    guest.start(entry);
    const bool enabled = kern::arch::disable_interrupts();
    kern::arch::run_user_mode(&begin, &on_trap);
    kern::arch::restore_interrupts(enabled);
    const SoftGuest::Counts& counts = guest.counts();
    record.traps = counts.traps;
    record.emulated = counts.emulated;
    record.rewritten = counts.rewritten;
    record.software_interrupts = counts.software_interrupts;
    record.faults = counts.faults;
    record.filled = counts.filled;
    record.traced = counts.traced;
    record.dropped = counts.dropped;
}

void print(const Refusal& refusal) {
    kprint("guest: its image is refused: ");
    if (!refusal.fault)
        kprint("{}\n", refusal.error);
    else if (refusal.fault->instruction.empty())
        kprint("what stands at 0x{:x} in its code is no instruction that this host knows\n",
               refusal.fault->address);
    else
        kprint("{} at 0x{:x} would not trap in ring 3, and is no site that can be rewritten\n",
               refusal.fault->instruction, refusal.fault->address);
}

/// One run of a copy of `image`, which is rewritten. Error: OutOfMemory.
std::expected<void, Error> run(std::span<const std::byte> image, SoftRecord& record) {
    const bool is_traced = record.is_traced != 0;
    const std::unique_ptr<std::byte[]> copy{new (std::nothrow) std::byte[image.size()]};
    const std::unique_ptr<Host> made{new (std::nothrow) Host{
        is_traced ? Shadows::Keeping::Traced : Shadows::Keeping::OnDemand, record}};
    if (copy == nullptr || made == nullptr) return std::unexpected{Error::OutOfMemory};
    if (const auto done = made->memory.create(); !done) return done;
    if (const auto done = made->machine.create(); !done) return done;
    host = made.get();
    std::memcpy(copy.get(), image.data(), image.size());
    kprint("guest: {}, {}\n", is_traced ? "tables traced" : "shadows on demand",
           record.is_patched != 0 ? "sites rewritten" : "sites left as they are");
    const auto entry = load_image({copy.get(), image.size()}, made->memory,
                                  record.is_patched != 0 ? &made->guest.sites : nullptr);
    if (entry) {
        run_guest(made->guest, record, *entry);
    } else {
        record.end = refused;
        print(entry.error());
    }
    return {};
}

/// The three runs as a table.
void print_table() {
    kprint(
        "shadows    sites      traps  emulated  rewritten  calls  faults  filled  traced  "
        "dropped\n");
    for (std::size_t i = 0; i < soft_evidence.record_count; ++i) {
        const SoftRecord& each = soft_evidence.records[i];
        kprint("{} {} {:8} {:9} {:10} {:6} {:7} {:7} {:7} {:8}\n",
               each.is_traced != 0 ? "traced   " : "on demand",
               each.is_patched != 0 ? "rewritten" : "as is    ", each.traps, each.emulated,
               each.rewritten, each.software_interrupts, each.faults, each.filled, each.traced,
               each.dropped);
    }
}

bool run_all(const kern::BootInfo& boot) {
    if (boot.modules.empty()) {
        kprint("nestling-soft: no boot module: give it a kernel of 32 bits\n");
        return false;
    }
    const kern::MemoryRange& range = boot.modules[0].range;
    const std::span<const std::byte> image{kern::arch::direct_map(range.begin), range.size()};
    soft_evidence.records[0] = {.is_patched = 1};
    soft_evidence.records[1] = {.is_traced = 1, .is_patched = 1};
    soft_evidence.records[2] = {};
    for (std::size_t i = 0; i < 3; ++i) {
        SoftRecord& record = soft_evidence.records[i];
        const std::uint64_t before = kern::frames().in_use();
        if (const auto done = run(image, record); !done) {
            kprint("nestling-soft: {}\n", done.error());
            return false;
        }
        record.frames_left = kern::frames().in_use() - before;
        soft_evidence.record_count = i + 1;
    }
    print_table();
    soft_evidence.finished = 1;
    return true;
}

}  // namespace
}  // namespace vmm::soft

extern "C" void kernel_main(const kern::BootInfo& boot) {
    kern::kprint("nestling-soft: {} CPUs, booted by {}\n", kern::arch::cpu_count(),
                 kern::describe(boot.protocol));
    kern::arch::power_off(vmm::soft::run_all(boot) ? 0 : 1);
}
