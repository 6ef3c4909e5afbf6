// SPDX-License-Identifier: MIT
#include "vmm/devices/mmio_console.hh"

#include "vmm/devices/io_apic.hh"

namespace vmm {
namespace {

constexpr std::uint64_t data = 0x00, status = 0x08, control = 0x0c, scratch = 0x10;
constexpr std::uint32_t ready = 1;
constexpr unsigned count_shift = 8;
constexpr std::uint32_t interrupt_enable = 1;
constexpr unsigned word = sizeof(std::uint32_t);

bool is_scratch(const MmioAccess& access) {
    return access.offset >= scratch && access.offset % access.size == 0;
}

std::uint64_t low_bytes(unsigned size) {
    return size == sizeof(std::uint64_t) ? ~0ULL : (1ULL << 8 * size) - 1;
}

}  // namespace

std::expected<std::uint64_t, Error> MmioConsole::read(const MmioAccess& access) {
    const kern::LockGuard guard{lock_};
    if (access.offset == data) return 0;
    if (access.offset == status && access.size == word) return (characters_ << count_shift) | ready;
    if (access.offset == control && access.size == word) return control_;
    if (is_scratch(access))
        return scratch_ >> 8 * (access.offset - scratch) & low_bytes(access.size);
    return std::unexpected{Error::Unsupported};
}

std::expected<void, Error> MmioConsole::write(const MmioAccess& access, std::uint64_t value) {
    bool raises = false;
    {
        const kern::LockGuard guard{lock_};
        if (access.offset == data) {
            for (unsigned i = 0; i < access.size; ++i)
                line_.put(static_cast<char>(value >> 8 * i & 0xff));
            characters_ += access.size;
            raises = (control_ & interrupt_enable) != 0;
        } else if (access.offset == control && access.size == word) {
            control_ = static_cast<std::uint32_t>(value) & interrupt_enable;
        } else if (is_scratch(access)) {
            const unsigned shift = 8 * static_cast<unsigned>(access.offset - scratch);
            scratch_ = (scratch_ & ~(low_bytes(access.size) << shift)) | value << shift;
        } else {
            return std::unexpected{Error::Unsupported};
        }
    }
    if (raises) io_apic_.raise(line);
    return {};
}

void MmioConsole::flush() {
    const kern::LockGuard guard{lock_};
    line_.flush();
}

}  // namespace vmm
