// SPDX-License-Identifier: MIT
#include "vmm/soft/main/devices.hh"

#include "kern/lib/panic.hh"
#include "kern/lib/print.hh"
#include "vmm/apic_page.hh"

namespace vmm::soft {
namespace {

constexpr unsigned byte_bits = 8;

bool is_uart(unsigned port) {
    return port >= Uart16550::com1 && port < Uart16550::com1 + Uart16550::port_count;
}

}  // namespace

SoftDevices::SoftDevices() {
    apic_.set_mode(X2Apic::Mode::Xapic);
    const bool attached = mmio_.attach(vmm::ApicPage::address, vmm::ApicPage::bytes, apic_page_) &&
                          mmio_.attach(IoApic::address, IoApic::bytes, io_apic_);
    kern::check(attached, "SoftDevices: the devices do not lie apart in the MMIO hole");
}

// The one device is 8 bits wide: who wants more bytes at once asks each port.
std::uint32_t SoftDevices::read(std::uint16_t port, unsigned size) {
    std::uint32_t value = 0;
    for (unsigned i = 0; i < size; ++i) {
        const std::uint8_t byte =
            is_uart(port + i) ? uart_.read(static_cast<std::uint16_t>(port + i - Uart16550::com1))
                              : std::uint8_t{0xff};
        value |= std::uint32_t{byte} << byte_bits * i;
    }
    return value;
}

void SoftDevices::write(std::uint16_t port, unsigned size, std::uint32_t value) {
    for (unsigned i = 0; i < size; ++i)
        if (is_uart(port + i))
            uart_.write(static_cast<std::uint16_t>(port + i - Uart16550::com1),
                        static_cast<std::uint8_t>(value >> byte_bits * i));
}

std::expected<std::uint64_t, Error> SoftDevices::ApicPage::read(const MmioAccess& access) {
    return devices_.apic_.read_page(access.offset, devices_.now_);
}

std::expected<void, Error> SoftDevices::ApicPage::write(const MmioAccess& access,
                                                        std::uint64_t value) {
    const auto command =
        devices_.apic_.write_page(access.offset, static_cast<std::uint32_t>(value), devices_.now_);
    if (!command) return std::unexpected{command.error()};
    if (*command) devices_.send(**command, devices_.apic_.id());
    return {};
}

void SoftDevices::print_line(void*, std::string_view line) {
    kern::kprint("[guest] {}\n", line);
}

void SoftDevices::send_from_device(void* devices, const InterruptCommand& command) {
    constexpr std::uint32_t no_cpu = ~0U;
    static_cast<SoftDevices*>(devices)->send(command, no_cpu);
}

void SoftDevices::send(const InterruptCommand& command, std::uint32_t sender) {
    const bool is_interrupt = command.kind == InterruptCommand::Kind::Fixed ||
                              command.kind == InterruptCommand::Kind::LowestPriority;
    if (is_interrupt && apic_.is_addressed(command, sender)) apic_.post(command.vector);
}

}  // namespace vmm::soft
