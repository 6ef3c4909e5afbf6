// SPDX-License-Identifier: MIT
#include "vmm/soft/linear.hh"

#include <algorithm>
#include <cstring>

#include "kern/arch/arch.hh"
#include "vmm/exits/instruction.hh"
#include "vmm/x86.hh"

namespace vmm::soft {
namespace {

/// The piece of an access that lies in one page.
struct Piece {
    std::uint32_t address;
    std::size_t size;
};
Piece first_piece(std::uint32_t address, std::size_t size) {
    return {address, std::min<std::size_t>(size, page_size - address % page_size)};
}

std::expected<Gpa, GuestFault> walk(const SoftCpu& cpu, const GuestMemory& memory,
                                    std::uint32_t address, GuestAccess access) {
    const auto found = walk_guest(memory, cpu.paging(), Gva{address}, access);
    if (found) return *found;
    std::uint32_t code = found.error().error_code;
    if (found.error().kind != WalkFault::Kind::PageFault)  // no table is there
        code = (access.write ? kern::arch::x86::page_fault::write : 0) |
               (access.user ? kern::arch::x86::page_fault::user : 0);
    return std::unexpected{
        GuestFault{.vector = vector::page_fault, .error_code = code, .address = address}};
}

}  // namespace

std::expected<void, GuestFault> read_linear(const SoftCpu& cpu, const GuestMemory& memory,
                                            std::uint32_t address, std::span<std::byte> out,
                                            bool user) {
    while (!out.empty()) {
        const Piece piece = first_piece(address, out.size());
        const auto place = walk(cpu, memory, address, {.user = user});
        if (!place) return std::unexpected{place.error()};
        if (const auto host = memory.gpa2hpa(*place))
            std::memcpy(out.data(), kern::arch::direct_map(*host), piece.size);
        else
            std::memset(out.data(), 0xff, piece.size);
        out = out.subspan(piece.size);
        address += static_cast<std::uint32_t>(piece.size);
    }
    return {};
}

std::expected<void, GuestFault> write_linear(const SoftCpu& cpu, const GuestMemory& memory,
                                             std::uint32_t address, std::span<const std::byte> in,
                                             bool user) {
    // All pages are looked at before the first byte is written.
    const GuestAccess access{.write = true, .user = user};
    for (std::size_t done = 0; done < in.size();) {
        const Piece piece =
            first_piece(address + static_cast<std::uint32_t>(done), in.size() - done);
        if (const auto place = walk(cpu, memory, piece.address, access); !place)
            return std::unexpected{place.error()};
        done += piece.size;
    }
    while (!in.empty()) {
        const Piece piece = first_piece(address, in.size());
        const auto place = walk(cpu, memory, address, access);
        if (!place) return std::unexpected{place.error()};
        if (const auto host = memory.gpa2hpa(*place))
            std::memcpy(kern::arch::direct_map(*host), in.data(), piece.size);
        in = in.subspan(piece.size);
        address += static_cast<std::uint32_t>(piece.size);
    }
    return {};
}

std::size_t fetch(const SoftCpu& cpu, const GuestMemory& memory, std::span<std::byte> out) {
    out = out.first(std::min(out.size(), longest_instruction));
    std::size_t done = 0;
    while (done < out.size()) {
        const Piece piece =
            first_piece(static_cast<std::uint32_t>(cpu.registers.rip + done), out.size() - done);
        const auto place = walk(cpu, memory, piece.address, {.fetch = true, .user = cpu.user_mode});
        if (!place) break;
        const auto host = memory.gpa2hpa(*place);
        if (!host) break;
        std::memcpy(out.data() + done, kern::arch::direct_map(*host), piece.size);
        done += piece.size;
    }
    return done;
}

}  // namespace vmm::soft
