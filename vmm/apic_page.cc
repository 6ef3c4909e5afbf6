// SPDX-License-Identifier: MIT
#include "vmm/apic_page.hh"

#include "kern/arch/arch.hh"
#include "vmm/vm.hh"

namespace vmm {

std::expected<void, Error> ApicPage::check(const MmioAccess& access) const {
    if (vm_.vcpu(access.vcpu).apic().mode() != X2Apic::Mode::Xapic)
        return std::unexpected{Error::NotFound};
    if (access.size != sizeof(std::uint32_t)) return std::unexpected{Error::Unsupported};
    return {};
}

std::expected<std::uint64_t, Error> ApicPage::read(const MmioAccess& access) {
    if (const auto checked = check(access); !checked) return std::unexpected{checked.error()};
    return vm_.vcpu(access.vcpu).apic().read_page(access.offset, kern::arch::nanoseconds());
}

std::expected<void, Error> ApicPage::write(const MmioAccess& access, std::uint64_t value) {
    if (const auto checked = check(access); !checked) return std::unexpected{checked.error()};
    Vcpu& vcpu = vm_.vcpu(access.vcpu);
    const auto command = vcpu.apic().write_page(access.offset, static_cast<std::uint32_t>(value),
                                                kern::arch::nanoseconds());
    if (!command) return std::unexpected{command.error()};
    if (*command) vm_.send(**command, access.vcpu);
    vcpu.timer_changed();
    return {};
}

}  // namespace vmm
