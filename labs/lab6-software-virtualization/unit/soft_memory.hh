// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstring>
#include <memory>
#include <set>
#include <string>

#include "kern/arch/host/fake.hh"
#include "kern/mm/frame_allocator.hh"
#include "labs/unit_fixture.hh"
#include "vmm/frame_owners.hh"
#include "vmm/soft/soft_cpu.hh"

/// The guest's memory for the cases of lab 6.
namespace lab {

using vmm::Gpa;
using vmm::GuestMemory;
using vmm::Gva;
using vmm::soft::GuestFault;
using vmm::soft::SoftCpu;

constexpr std::uint32_t page = 4096;

///@{
/// Bits of a guest's page-table entry and of CR0.
constexpr std::uint32_t p = 1, rw = 2, us = 4, accessed = 0x20, dirty = 0x40;
constexpr std::uint32_t all = p | rw | us;
constexpr std::uint32_t cr0_pe = 0x11, cr0_wp = 0x1'0000, cr0_pg = 0x8000'0000;
///@}

/// A guest's memory of 64 pages from 0 on, in frames of no order, without a few.
class Memory final : public GuestMemory {
   public:
    static constexpr std::uint64_t pages = 64;
    Memory() {
        for (std::uint64_t i = 0; i < pages; ++i)
            frames_[i * 29 % pages] = *kern::frames().allocate(vmm::frame_owner::guest_memory);
    }
    kern::Hpa table_root() const override { return {}; }
    std::expected<void, Error> serve_fault(const vmm::exit::NestedPageFault&) override {
        ADD_FAILURE() << "nothing is made present here";
        return std::unexpected{Error::Unsupported};
    }
    std::expected<kern::Hpa, Error> gpa2hpa(Gpa gpa) const override {
        if (gpa.value() / page >= pages || missing.contains(gpa.value() / page))
            return std::unexpected{Error::NotFound};
        return frames_[gpa.value() / page] + gpa.page_offset();
    }
    bool is_writable(Gpa gpa) const override { return gpa2hpa(gpa).has_value(); }
    void set_shootdown(Shootdown, void*) override {}

    ///@{
    /// Numbers in it; an address must not be in a page that is missing.
    template <class T>
    void put(std::uint32_t gpa, T value) {
        std::memcpy(bytes(gpa), &value, sizeof(value));
    }
    void put(std::uint32_t gpa, const Bytes& value) {
        std::memcpy(bytes(gpa), value.data(), value.size());
    }
    template <class T = std::uint32_t>
    T get(std::uint32_t gpa) const {
        T value{};
        std::memcpy(&value, bytes(gpa), sizeof(value));
        return value;
    }
    ///@}
    /// Everything that is in it.
    Bytes contents() const {
        Bytes made;
        for (std::uint32_t i = 0; i < pages; ++i)
            made.insert(made.end(), bytes(i * page), bytes(i * page) + page);
        return made;
    }

    std::set<std::uint64_t> missing;  ///< pages

   private:
    std::byte* bytes(std::uint32_t gpa) const {
        return kern::arch::direct_map(frames_[gpa / page] + gpa % page);
    }
    std::array<kern::Hpa, pages> frames_;
};

inline std::string in_words(const GuestFault& fault) {
    std::string words = "exception " + std::to_string(fault.vector);
    words +=
        fault.error_code ? " with error code " + hex(*fault.error_code) : " without error code";
    if (fault.vector == 14) words += " at " + hex(fault.address);
    return words;
}

///@{
/// Whether a result is that fault, or none.
template <class T>
::testing::AssertionResult faults(const std::expected<T, GuestFault>& seen,
                                  const GuestFault& wanted) {
    if (!seen && seen.error() == wanted) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << "it is " << (seen ? "done" : in_words(seen.error()))
                                         << ", wanted is " << in_words(wanted);
}
template <class T>
::testing::AssertionResult is_done(const std::expected<T, GuestFault>& seen) {
    if (seen) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure()
           << "it is " << in_words(seen.error()) << ", wanted is no fault";
}
///@}

/// The faults that cases want.
///@{
inline GuestFault gp(std::uint32_t code) {
    return {.vector = 13, .error_code = code};
}
inline GuestFault np(std::uint32_t code) {
    return {.vector = 11, .error_code = code};
}
inline GuestFault ss_fault(std::uint32_t code) {
    return {.vector = 12, .error_code = code};
}
inline GuestFault pf(std::uint32_t code, std::uint32_t address) {
    return {.vector = 14, .error_code = code, .address = address};
}
///@}

}  // namespace lab
