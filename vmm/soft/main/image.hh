// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>

#include "vmm/guest_memory.hh"
#include "vmm/soft/code.hh"
#include "vmm/soft/rewrite_sensitive.hh"

namespace vmm::soft {

/// A guest's memory from address 0 on, all of it there from the beginning.
class SoftMemory final : public GuestMemory {
   public:
    SoftMemory() = default;
    /// Gives the frames back.
    ~SoftMemory() override;

    /// How much it is, in pages: 8 MiB.
    static constexpr std::size_t pages = 2048;

    /// Takes the frames. Error: OutOfMemory.
    std::expected<void, Error> create();
    /// Writes `bytes` at `address`. Error: OutOfRange.
    std::expected<void, Error> write(std::uint64_t address, std::span<const std::byte> bytes);

    Hpa table_root() const override { return {}; }
    std::expected<void, Error> serve_fault(const exit::NestedPageFault&) override {
        return std::unexpected{Error::NotFound};
    }
    std::expected<Hpa, Error> gpa2hpa(Gpa gpa) const override;
    bool is_writable(Gpa gpa) const override { return gpa2hpa(gpa).has_value(); }
    void set_shootdown(Shootdown, void*) override {}

   private:
    std::array<Hpa, pages> frames_{};
};

/// Why an image is not loaded.
struct Refusal {
    Error error;                       ///< Unsupported, if there is a `fault`
    std::optional<CodeFault> fault{};  ///< what is in the kernel's code
};

/// Loads an ELF32 kernel that is linked where it is loaded, after its sensitive sites were
/// rewritten.
///
/// It may have notes (PT_NOTE) with the name "Nestling", about its first segment that is
/// executable:
/// - of type 1: its sites, each a SiteNote. They are rewritten in `image`;
/// - of type 2: its kernel's code, each entry a first and a last address (exclusive). These bytes
///   are all instructions, and nothing else that its ring 0 executes is there. check_code looks at
///   them. No program can tell code from data in any other way, so where nothing is said, nothing is
///   looked at. A guest that says what is not true harms itself.
///
/// @param image   the file; its bytes change
/// @param memory  gets the segments
/// @param sites   gets what was rewritten; nullptr: nothing is
/// @return where the kernel begins
/// @note Errors: those of elf_decode and rewrite_sensitive; Unsupported (ELF64, linked elsewhere, or
/// code with a CodeFault), Truncated (a segment or a note is not in the file), OutOfRange (not in
/// the guest's memory, or code that is not in the text).
std::expected<std::uint32_t, Refusal> load_image(std::span<std::byte> image, SoftMemory& memory,
                                                 Sites* sites);

}  // namespace vmm::soft
