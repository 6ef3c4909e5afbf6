// SPDX-License-Identifier: MIT
#include "kern/arch/x86_64/apic.hh"

#include <atomic>

#include "kern/arch/arch.hh"
#include "kern/arch/vectors.hh"
#include "kern/arch/x86_64/guest.hh"
#include "kern/arch/x86_64/registers.hh"

namespace kern::arch::apic {
namespace {

/// Registers by number: xAPIC has them 16 bytes apart, x2APIC as consecutive MSRs
/// [amd/vol2 16.3.2].
enum class Register : std::uint32_t {
    Id = 0x02,
    TaskPriority = 0x08,
    EndOfInterrupt = 0x0b,
    SpuriousVector = 0x0f,
    CommandLow = 0x30,  // the whole 64-bit ICR in x2APIC
    CommandHigh = 0x31,
    TimerEntry = 0x32,
    Lint0Entry = 0x35,
    Lint1Entry = 0x36,
    ErrorEntry = 0x37,
    TimerInitial = 0x38,
    TimerCurrent = 0x39,
    TimerDivide = 0x3e,
};

constexpr std::uint64_t base_enable = 1 << 11, base_x2apic = 1 << 10;  // in MSR APIC_BASE
constexpr std::uint64_t base_address = 0x000f'ffff'ffff'f000;
constexpr std::uint32_t software_enable = 1 << 8;  // in SpuriousVector
constexpr std::uint32_t masked = 1 << 16;          // in the local vector table
constexpr std::uint32_t divide_by_1 = 0b1011;
constexpr std::uint32_t mode_nmi = 4 << 8, mode_init = 5 << 8, mode_startup = 6 << 8;
constexpr std::uint32_t level_assert = 1 << 14, to_all_but_self = 3 << 18;
constexpr std::uint32_t delivery_pending = 1 << 12;
constexpr unsigned xapic_id_shift = 24;
constexpr std::uint32_t cpuid_x2apic = 1 << 21;  // leaf 1, ECX

constexpr std::uint16_t pic1_data = 0x21, pic2_data = 0xa1;

bool chosen = false;
bool use_x2apic = false;
std::byte* registers = nullptr;  // xAPIC only

std::uint32_t read(Register number) {
    const auto n = static_cast<std::uint32_t>(number);
    if (use_x2apic) return static_cast<std::uint32_t>(read_msr(x86::msr::x2apic_begin + n));
    return *reinterpret_cast<volatile std::uint32_t*>(registers + std::uint64_t{n} * 16);
}

void write(Register number, std::uint32_t value) {
    const auto n = static_cast<std::uint32_t>(number);
    if (use_x2apic)
        write_msr(x86::msr::x2apic_begin + n, value);
    else
        *reinterpret_cast<volatile std::uint32_t*>(registers + std::uint64_t{n} * 16) = value;
}

void command(std::uint32_t to, std::uint32_t what) {
    // An MSR write does not wait for earlier stores, unlike a write to uncached memory: the
    // receiver must see what this CPU wrote before [intel/vol3a 10.12.3].
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (use_x2apic) {
        write_msr(x86::msr::x2apic_begin + static_cast<std::uint32_t>(Register::CommandLow),
                  std::uint64_t{to} << 32 | what);
        return;
    }
    // Two writes: an interrupt between them might send a command of its own.
    const bool enabled = disable_interrupts();
    write(Register::CommandHigh, to << xapic_id_shift);
    write(Register::CommandLow, what);
    while ((read(Register::CommandLow) & delivery_pending) != 0) asm volatile("pause");
    restore_interrupts(enabled);
}

}  // namespace

void enable() {
    const std::uint64_t base = read_msr(x86::msr::apic_base);
    if (!chosen) {
        chosen = true;
        use_x2apic = (cpuid(1).ecx & cpuid_x2apic) != 0;
        registers = direct_map(Hpa{base & base_address});
        if (!host_of_this_guest()) {
            out8(pic1_data, 0xff);
            out8(pic2_data, 0xff);
        }
    }
    write_msr(x86::msr::apic_base, base | base_enable | (use_x2apic ? base_x2apic : 0));
    write(Register::TaskPriority, 0);
    write(Register::TimerEntry, masked | vector::timer);
    write(Register::Lint0Entry, masked);
    write(Register::Lint1Entry, masked);
    write(Register::ErrorEntry, masked);
    write(Register::TimerDivide, divide_by_1);
    write(Register::SpuriousVector, software_enable | vector::spurious);
}

std::uint32_t id() {
    const std::uint32_t value = read(Register::Id);
    return use_x2apic ? value : value >> xapic_id_shift;
}

void end_of_interrupt() {
    write(Register::EndOfInterrupt, 0);
}

void send(std::uint32_t to, std::uint8_t vector) {
    command(to, level_assert | vector);
}
void send_init(std::uint32_t to) {
    command(to, level_assert | mode_init);
}
void send_startup(std::uint32_t to, std::uint8_t vector) {
    command(to, level_assert | mode_startup | vector);
}
void send_nmi_to_others() {
    if (chosen) command(0, level_assert | mode_nmi | to_all_but_self);
}

void start_timer(std::uint32_t ticks, bool silent) {
    write(Register::TimerEntry, (silent ? masked : 0) | vector::timer);
    write(Register::TimerInitial, ticks);
}
std::uint32_t timer_left() {
    return read(Register::TimerCurrent);
}

}  // namespace kern::arch::apic
