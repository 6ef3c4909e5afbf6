// SPDX-License-Identifier: MIT
// The kernel without virtualization instructions: runs its boot module, a kernel of 32 bits, in
// ring 3 (docs/software-virtualization.md), three times: with the lecture's option one, with option
// two, and with its sensitive sites left as they are.
#include <cstring>
#include <memory>
#include <new>

#include "kern/arch/arch.hh"
#include "kern/boot/boot_info.hh"
#include "kern/lib/print.hh"
#include "kern/mm/frame_allocator.hh"
#include "vmm/soft/main/host.hh"
#include "vmm/soft/main/image.hh"
#include "vmm/soft/main/soft_evidence.hh"

namespace vmm::soft {
namespace {

using kern::kprint;

///@{
/// SoftRecord::end.
constexpr std::uint64_t exited = 1, ended = 2, stopped = 3, refused = 4;
///@}

/// Runs the guest to its end, and fills `record`.
void run_guest(Host& host, SoftRecord& record) {
    const SoftGuest& guest = host.guest();
    const SoftGuest::Next next = host.run();
    if (next == SoftGuest::Next::Exited) {
        record.end = exited;
        record.status = guest.status;
        kprint("guest: exited with {}\n", guest.status);
    } else {
        const bool is_stopped = next == SoftGuest::Next::Enter;
        const HostTrap& trap = host.last_trap();
        record.end = is_stopped ? stopped : ended;
        kprint("guest: ended, {}; EIP 0x{:x}, vector {}, error code 0x{:x}, address 0x{:x}\n",
               is_stopped ? "it does not come to an end" : guest.reason, guest.cpu.registers.rip,
               trap.vector, trap.error_code, trap.address);
    }
    const SoftGuest::Counts& counts = guest.counts();
    record.traps = counts.traps;
    record.emulated = counts.emulated;
    record.rewritten = counts.rewritten;
    record.software_interrupts = counts.software_interrupts;
    record.faults = counts.faults;
    record.filled = counts.filled;
    record.traced = counts.traced;
    record.dropped = counts.dropped;
    record.interrupts = counts.interrupts;
    record.guest_loads = counts.table_loads;
    record.real_loads = host.table_loads();
    record.nanoseconds = host.duration();
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
    const std::unique_ptr<SoftMemory> memory{new (std::nothrow) SoftMemory};
    if (copy == nullptr || memory == nullptr) return std::unexpected{Error::OutOfMemory};
    if (const auto done = memory->create(); !done) return done;
    const std::unique_ptr<Host> host{new (std::nothrow) Host{
        *memory, is_traced ? Shadows::Keeping::Traced : Shadows::Keeping::OnDemand}};
    if (host == nullptr) return std::unexpected{Error::OutOfMemory};
    if (const auto done = host->create(); !done) return done;
    std::memcpy(copy.get(), image.data(), image.size());
    kprint("guest: {}, {}\n", is_traced ? "tables traced" : "shadows on demand",
           record.is_patched != 0 ? "sites rewritten" : "sites left as they are");
    const auto entry = load_image({copy.get(), image.size()}, *memory,
                                  record.is_patched != 0 ? &host->guest().sites : nullptr);
    if (entry) {
        host->guest().start(*entry);
        run_guest(*host, record);
    } else {
        record.end = refused;
        print(entry.error());
    }
    return {};
}

/// The three runs as a table.
void print_table() {
    kprint(
        "shadows    sites      traps  emulated  rewritten  calls  faults  interrupts  filled  "
        "traced  dropped\n");
    for (std::size_t i = 0; i < soft_evidence.record_count; ++i) {
        const SoftRecord& each = soft_evidence.records[i];
        kprint("{} {} {:8} {:9} {:10} {:6} {:7} {:11} {:7} {:7} {:8}\n",
               each.is_traced != 0 ? "traced   " : "on demand",
               each.is_patched != 0 ? "rewritten" : "as is    ", each.traps, each.emulated,
               each.rewritten, each.software_interrupts, each.faults, each.interrupts, each.filled,
               each.traced, each.dropped);
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
