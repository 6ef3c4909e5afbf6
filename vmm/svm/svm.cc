// SPDX-License-Identifier: MIT
#include "vmm/svm/svm.hh"

#include <array>
#include <optional>
#include <span>

#include "kern/arch/arch.hh"
#include "kern/lib/panic.hh"
#include "kern/mm/frame_allocator.hh"
#include "vmm/backend.hh"
#include "vmm/svm/permission_map.hh"

namespace vmm::svm {
namespace {

namespace arch = kern::arch;

constexpr std::uint32_t highest_extended_leaf = 0x8000'0000;
constexpr std::uint32_t features_leaf = 0x8000'0001;
constexpr std::uint32_t feature_svm = 1U << 2;         // ECX
constexpr std::uint32_t feature_long_mode = 1U << 29;  // EDX
constexpr std::uint32_t address_sizes_leaf = 0x8000'0008;
constexpr std::uint32_t physical_bits_mask = 0xff;        // EAX
constexpr std::uint32_t svm_leaf = 0x8000'000a;           // EBX: number of ASIDs
constexpr std::uint32_t feature_nested_paging = 1U << 0;  // EDX
constexpr std::uint32_t feature_next_rip = 1U << 3;       // EDX
constexpr std::uint64_t vm_cr_svm_disabled = 1U << 4;

struct PerCpu {
    Hpa host_save{};  ///< for VMRUN
    Hpa host_area{};  ///< for VMSAVE
    std::optional<AsidAllocator> asids{};
};

struct Machine {
    bool started = false;
    CpuLimits limits{};
    bool has_next_rip = false;
    Hpa io_map{};
    Hpa msr_map{};
    std::array<PerCpu, arch::max_cpus> cpus{};
};
constinit Machine machine{};

template <std::size_t size>
std::span<std::byte, size> bytes_at(Hpa address) {
    return std::span<std::byte, size>{arch::direct_map(address), size};
}

std::expected<void, Error> start_cpu(unsigned cpu) {
    const auto host_save = kern::frames().allocate(kern::frame_owner::kernel);
    if (!host_save) return std::unexpected{host_save.error()};
    const auto host_area = kern::frames().allocate(kern::frame_owner::kernel);
    if (!host_area) return std::unexpected{host_area.error()};
    machine.cpus[cpu].host_save = *host_save;
    machine.cpus[cpu].host_area = *host_area;
    machine.cpus[cpu].asids.emplace(cpu, machine.limits.asid_count);
    return {};
}

}  // namespace

const char* why_unavailable() {
    // [amd/vol2 15.4]
    if (arch::cpuid(highest_extended_leaf).eax < svm_leaf ||
        (arch::cpuid(features_leaf).ecx & feature_svm) == 0)
        return "this CPU has no SVM (with QEMU: -cpu max)";
    if ((arch::read_msr(msr::vm_cr) & vm_cr_svm_disabled) != 0)
        return "SVM is disabled by the firmware (VM_CR.SVMDIS)";
    const auto svm = arch::cpuid(svm_leaf);
    if ((svm.edx & feature_nested_paging) == 0)
        return "this CPU's SVM has no nested paging (with QEMU: -cpu max)";
    if (svm.ebx < 2) return "this CPU has no ASIDs for guests";
    return nullptr;
}

std::expected<void, Error> start() {
    if (machine.started) return {};
    machine.limits = {
        .asid_count = arch::cpuid(svm_leaf).ebx,
        .physical_bits = arch::cpuid(address_sizes_leaf).eax & physical_bits_mask,
        .has_long_mode = (arch::cpuid(features_leaf).edx & feature_long_mode) != 0,
    };
    machine.has_next_rip = (arch::cpuid(svm_leaf).edx & feature_next_rip) != 0;
    const auto io = kern::frames().allocate_run(kern::frame_owner::kernel, io_map_size / page_size);
    if (!io) return std::unexpected{io.error()};
    const auto msrs =
        kern::frames().allocate_run(kern::frame_owner::kernel, msr_map_size / page_size);
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
    kern::check(machine.started, "SVM: start() comes first");
    if (why_unavailable() != nullptr) return std::unexpected{Error::Unsupported};
    arch::write_msr(msr::efer, arch::read_msr(msr::efer) | efer::secure_virtual_machine_enable);
    // [amd/vol2 15.30.4]: VMRUN keeps the host's state there.
    arch::write_msr(msr::vm_hsave_pa, machine.cpus[arch::cpu_index()].host_save.value());
    return {};
}

const CpuLimits& cpu_limits() {
    return machine.limits;
}
bool has_next_rip() {
    return machine.has_next_rip;
}
AsidAllocator& asids_of_this_cpu() {
    return *machine.cpus[arch::cpu_index()].asids;
}
Hpa host_area_of_this_cpu() {
    return machine.cpus[arch::cpu_index()].host_area;
}
Hpa io_map() {
    return machine.io_map;
}
Hpa msr_map() {
    return machine.msr_map;
}

}  // namespace vmm::svm
