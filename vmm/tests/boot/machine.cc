// SPDX-License-Identifier: MIT
#include "vmm/tests/boot/machine.hh"

#include <cstring>
#include <span>
#include <utility>
#include <variant>

#include "kern/arch/arch.hh"
#include "kern/mm/frame_allocator.hh"

namespace vmm {

/// The pager's friend: registers zeroed memory without a kernel image.
struct PagerTestAccess {
    static LoaderMap& loaders(KernelVmPager& pager) { return pager.loaders_; }
};

namespace test {

namespace arch = kern::arch;

std::uint32_t nonce = 0;

Gpa place(Label label) {
    return Gpa{static_cast<std::uint64_t>(label - guests_begin) + BLOB};
}

namespace {

const Backend* chosen = nullptr;

extern "C" std::byte *const hypercalls_begin[], *const hypercalls_end[];

bool fill_code(void*, Gpa page, std::span<std::byte, page_size> out) {
    std::memcpy(out.data(), guests_begin + (page.value() - BLOB), out.size());
    return true;
}

bool fill_watched(void* word, Gpa, std::span<std::byte, page_size> out) {
    std::memcpy(out.data(), word, sizeof(std::uint32_t));
    return true;
}

}  // namespace

std::unique_ptr<KernelVmPager> make_pager(const std::uint32_t& watched_word) {
    auto made = KernelVmPager::create(*backend().format);
    kern::check(made.has_value(), "no memory for a pager");
    KernelVmPager& pager = **made;
    bool done = true;
    const auto size = static_cast<std::uint64_t>(guests_end - guests_begin);
    for (Gpa page{BLOB}; page < Gpa{BLOB + size}; page += page_size)
        done = done && pager.map_page(page, {.fill = fill_code});
    done = done &&
           pager.map_page(Gpa{WATCHED}, {.fill = fill_watched,
                                         .context = const_cast<std::uint32_t*>(&watched_word)});
    LoaderMap& loaders = PagerTestAccess::loaders(pager);
    for (const auto& [begin, end] :
         {std::pair{INFORMATION, INFORMATION + 0x1000}, std::pair{ZEROS_BEGIN, ZEROS_END},
          std::pair{WRITTEN, SAVED + 0x1000}})
        done = done && loaders.add(Loader::zeros(Gpa{static_cast<std::uint64_t>(begin)},
                                                 Gpa{static_cast<std::uint64_t>(end)}));
    kern::check(done, "a page of the guests could not be registered");
    return std::move(*made);
}

KernelVm make_vm(const Setup& setup) {
    auto vm = KernelVm::create(make_pager(nonce),
                               {.name = setup.name,
                                .vcpu_count = setup.vcpus,
                                .time_limit_ms = setup.limit_ms,
                                .observer = setup.observer,
                                .open_ports = setup.open_ports},
                               {.at = Gpa{INFORMATION}});
    if (!vm) kern::panic(vm.error().reason);
    vm.value()->vcpu(0).backend().start_protected_mode(place(setup.entry), nonce, setup.what);
    return std::move(*vm);
}

VmResult run(Vm& vm) {
    const VmResult result = vm.run();
    constexpr std::array<std::string_view, 3> ends{"exited", "failed", "stopped"};
    fact(vm.name(), "end", ends[static_cast<std::size_t>(result.end)]);
    fact(vm.name(), "status", result.status);
    fact(vm.name(), "reason", std::string_view{result.reason});
    return result;
}

volatile std::uint32_t& word(const KernelVmPager& pager, std::uint64_t address) {
    const auto host = pager.gpa2hpa(Gpa{address});
    kern::check(host.has_value(), "a page of the guest that should be present is not");
    return *reinterpret_cast<volatile std::uint32_t*>(arch::direct_map(*host));
}

const Backend& backend() {
    return *chosen;
}

bool is_svm() {
    return chosen == &svm_backend;
}

const char* choose_backend() {
    const auto found = find_backend();
    if (!found) return found.error();
    chosen = *found;
    if (is_svm()) return nullptr;
    constexpr std::size_t last = 2;  // byte of the instruction: 0f 01 d9 is VMMCALL
    constexpr std::byte of_vmcall{0xc1};
    for (std::byte* const* at = hypercalls_begin; at != hypercalls_end; ++at)
        (*at)[last] = of_vmcall;
    return nullptr;
}

std::uint32_t address_space_of(VcpuBackend& vcpu) {
    if (is_svm()) return vmcb_of(vcpu).control.asid;
    std::uint32_t vpid = 0;
    with_vmcs(vcpu, [&](vmx::Vmcs& vmcs) {
        vpid = static_cast<std::uint32_t>(vmcs.read(vmx::Field::virtual_processor_identifier));
    });
    return vpid;
}

bool exit_interrupted_event(VcpuBackend& vcpu) {
    if (is_svm()) return (vmcb_of(vcpu).control.exit_int_info & svm::event::valid) != 0;
    const std::uint64_t information =
        vmx::CurrentVmcs{}.read(vmx::Field::idt_vectoring_information);
    return (information & vmx::interruption::valid) != 0;
}

Hpa control_block_of(VcpuBackend& vcpu) {
    return probe_of(backend()).of(vcpu).control_block;
}

svm::Vmcb& vmcb_of(VcpuBackend& vcpu) {
    return *reinterpret_cast<svm::Vmcb*>(arch::direct_map(control_block_of(vcpu)));
}

FrameBalance::FrameBalance(std::string_view group)
    : group_{group}, before_{kern::frames().in_use()} {}
FrameBalance::~FrameBalance() {
    fact(group_, "frames-left", kern::frames().in_use() - before_);
}

Exit run_until_it_asks(VcpuBackend& vcpu, KernelVmPager& pager) {
    vcpu.enter_cpu();
    while (true) {
        arch::disable_interrupts();
        const Exit exit = vcpu.run();
        arch::restore_interrupts(true);
        if (std::holds_alternative<exit::ExternalInterrupt>(exit.reason) ||
            std::holds_alternative<exit::Served>(exit.reason))
            continue;
        if (const auto* fault = std::get_if<exit::NestedPageFault>(&exit.reason);
            fault != nullptr && pager.try_lazy_paging(*fault))
            continue;
        if (std::holds_alternative<exit::Hypercall>(exit.reason)) vcpu.skip_instruction(exit);
        vcpu.leave_cpu();
        return exit;
    }
}

void run_to_hypercall(VcpuBackend& vcpu, KernelVmPager& pager) {
    const Exit exit = run_until_it_asks(vcpu, pager);
    if (!std::holds_alternative<exit::Hypercall>(exit.reason)) kern::panic(describe(exit));
}

}  // namespace test
}  // namespace vmm
