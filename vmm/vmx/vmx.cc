// SPDX-License-Identifier: MIT
#include "vmm/vmx/vmx.hh"

#include <array>
#include <cstddef>
#include <cstring>
#include <optional>
#include <span>

#include "kern/arch/arch.hh"
#include "kern/arch/x86_64/system_state.hh"
#include "kern/lib/panic.hh"
#include "kern/mm/frame_allocator.hh"
#include "vmm/backend.hh"
#include "vmm/vmx/asm_vmrun.h"
#include "vmm/vmx/exit_fields.h"
#include "vmm/vmx/instructions.hh"
#include "vmm/vmx/permission_map.hh"

namespace vmm::vmx {
namespace {

namespace arch = kern::arch;

// The world switch is assembly and has numbers of its own.
static_assert(static_cast<std::uint32_t>(Field::host_rsp) == VMCS_HOST_RSP &&
              static_cast<std::uint32_t>(Field::host_rip) == VMCS_HOST_RIP);

static_assert(static_cast<std::uint32_t>(Field::instruction_error) == VMCS_INSTRUCTION_ERROR &&
              static_cast<std::uint32_t>(Field::exit_reason) == VMCS_EXIT_REASON &&
              static_cast<std::uint32_t>(Field::exit_instruction_length) ==
                  VMCS_EXIT_INSTRUCTION_LENGTH &&
              static_cast<std::uint32_t>(Field::guest_ss_access_rights) ==
                  VMCS_GUEST_SS_ACCESS_RIGHTS &&
              static_cast<std::uint32_t>(Field::guest_interruptibility_state) ==
                  VMCS_GUEST_INTERRUPTIBILITY_STATE &&
              static_cast<std::uint32_t>(Field::exit_qualification) == VMCS_EXIT_QUALIFICATION &&
              static_cast<std::uint32_t>(Field::guest_rsp) == VMCS_GUEST_RSP &&
              static_cast<std::uint32_t>(Field::guest_rip) == VMCS_GUEST_RIP &&
              static_cast<std::uint32_t>(Field::guest_rflags) == VMCS_GUEST_RFLAGS);
static_assert(offsetof(ExitFields, reason) == EXIT_REASON &&
              offsetof(ExitFields, qualification) == EXIT_QUALIFICATION &&
              offsetof(ExitFields, instruction_length) == EXIT_INSTRUCTION_LENGTH &&
              offsetof(ExitFields, instruction_error) == EXIT_INSTRUCTION_ERROR &&
              offsetof(ExitFields, rsp) == EXIT_RSP && offsetof(ExitFields, rip) == EXIT_RIP &&
              offsetof(ExitFields, rflags) == EXIT_RFLAGS &&
              offsetof(ExitFields, ss_access_rights) == EXIT_SS_ACCESS_RIGHTS &&
              offsetof(ExitFields, interruptibility_state) == EXIT_INTERRUPTIBILITY_STATE);

constexpr std::uint32_t address_sizes_leaf = 0x8000'0008;
constexpr std::uint32_t bits_mask = 0xff;
constexpr unsigned linear_bits_shift = 8;

struct PerCpu {
    Hpa region{};  ///< for VMXON
    Hpa current{};
    bool on = false;
    std::optional<VpidAllocator> vpids{};
};

struct Machine {
    bool started = false;
    CpuLimits limits{};
    Controls controls{};
    Hpa io_map{};
    Hpa msr_map{};
    std::array<PerCpu, arch::max_cpus> cpus{};
};
constinit Machine machine{};

PerCpu& this_cpu() {
    return machine.cpus[arch::cpu_index()];
}

template <std::size_t size>
std::span<std::byte, size> bytes_at(Hpa address) {
    return std::span<std::byte, size>{arch::direct_map(address), size};
}

std::expected<void, Error> start_cpu(unsigned cpu) {
    const auto region = kern::frames().allocate(kern::frame_owner::kernel);
    if (!region) return std::unexpected{region.error()};
    std::memcpy(arch::direct_map(*region), &machine.limits.capabilities.revision,
                sizeof(machine.limits.capabilities.revision));
    machine.cpus[cpu].region = *region;
    machine.cpus[cpu].vpids.emplace(cpu);
    return {};
}

}  // namespace

std::expected<void, Error> start() {
    if (machine.started) return {};
    const auto sizes = arch::cpuid(address_sizes_leaf).eax;
    machine.limits = {.capabilities = read_capabilities(),
                      .physical_bits = sizes & bits_mask,
                      .linear_bits = sizes >> linear_bits_shift & bits_mask};
    const auto wanted = compute_controls(machine.limits.capabilities);
    kern::check(wanted.has_value(), "VMX: start() without why_unavailable()");
    machine.controls = *wanted;
    const auto io = kern::frames().allocate_run(kern::frame_owner::kernel, io_map_size / page_size);
    if (!io) return std::unexpected{io.error()};
    const auto msrs = kern::frames().allocate(kern::frame_owner::kernel);
    if (!msrs) return std::unexpected{msrs.error()};
    machine.io_map = *io;
    machine.msr_map = *msrs;
    fill_io_map(bytes_at<io_map_size>(*io));
    if (const auto filled = fill_msr_map(bytes_at<msr_map_size>(*msrs)); !filled) return filled;
    for (unsigned cpu = 0; cpu < arch::cpu_count(); ++cpu)
        if (const auto result = start_cpu(cpu); !result) return result;
    machine.started = true;
    return {};
}

std::expected<void, Error> enable_on_this_cpu() {
    kern::check(machine.started, "VMX: start() comes first");
    PerCpu& self = this_cpu();
    if (self.on) return {};
    if (why_unavailable() != nullptr) return std::unexpected{Error::Unsupported};
    const std::uint64_t control = arch::read_msr(msr::feature_control);
    if ((control & feature_control::locked) == 0)
        arch::write_msr(msr::feature_control,
                        control | feature_control::locked | feature_control::vmxon_outside_smx);
    arch::set_cr4_bits(cr4::vmx_enable);
    if (!vmx_vmxon(self.region.value())) return std::unexpected{Error::Unsupported};
    self.on = true;
    return {};
}

const CpuLimits& cpu_limits() {
    return machine.limits;
}
const Controls& controls() {
    return machine.controls;
}
VpidAllocator& vpids_of_this_cpu() {
    return *this_cpu().vpids;
}
Hpa io_map() {
    return machine.io_map;
}
Hpa msr_map() {
    return machine.msr_map;
}

Hpa make_current(Hpa address) {
    PerCpu& self = this_cpu();
    const Hpa before = self.current;
    if (address != Hpa{}) kern::check(vmx_vmptrld(address.value()), "VMPTRLD failed");
    self.current = address;
    return before;
}

void clear(Hpa address) {
    kern::check(vmx_vmclear(address.value()), "VMCLEAR failed");
}

}  // namespace vmm::vmx
