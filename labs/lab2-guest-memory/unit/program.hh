// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "labs/unit_fixture.hh"
#include "vmm/user/program/vmm.hh"

/// A program's world without a kernel: the functions of the user library (kern/user/user.hh,
/// vmm/user/program/vmm.hh), served in this process. The program's pages are pages of this process,
/// at the addresses that it asks for; whoever touches one that is not there dies of it, as in the
/// machine. Each call can be made to fail.
namespace lab {

using user::Failure;

/// The calls that a case may look at.
enum class Call : std::uint8_t { open, seek, read, page_alloc, page_map, page_unmap, ept_map };
inline constexpr std::size_t call_kinds = 7;

/// The one program and its guest.
class FakeWorld {
   public:
    static constexpr std::int64_t self = 0x1'0501, guest = 0x1'0602;
    static constexpr std::uint64_t guest_bytes = 5ULL << 30;  // more than 32 bits can count

    /// A page of the guest: which frame it shows.
    struct GuestPage {
        unsigned frame;
        std::uint64_t perm;
    };

    FakeWorld();
    FakeWorld(const FakeWorld&) = delete;
    FakeWorld& operator=(const FakeWorld&) = delete;
    ~FakeWorld();

    void put_file(const std::string& name, Bytes bytes) { files_[name] = std::move(bytes); }
    /// No read brings more bytes than this.
    void read_at_most(std::uint64_t bytes) { longest_read_ = bytes; }
    /// Call number `number` of this kind, from 1 on, fails.
    void fail(Call call, unsigned number, Failure failure) {
        failures_[static_cast<std::size_t>(call)] = {number, failure};
    }
    /// How many calls of this kind there were.
    unsigned calls(Call call) const { return calls_[static_cast<std::size_t>(call)]; }

    /// The guest's pages, by guest-physical address.
    const std::map<std::uint64_t, GuestPage>& guest_pages() const { return guest_pages_; }
    /// What the guest sees at `gpa`; it must have all these pages.
    Bytes guest_bytes_at(std::uint64_t gpa, std::uint64_t size) const;
    /// Gives the guest a page that nobody asked for.
    void put_guest_page(std::uint64_t gpa);
    /// The program's own pages: how many there are, and whether one is at utemp.
    std::size_t program_pages() const { return pages_.size(); }
    bool has_page(std::uint64_t address) const { return pages_.contains(address); }

    ///@{
    /// The calls, as the kernel serves them.
    std::int64_t open(std::string_view name);
    std::int64_t seek(std::int64_t file, std::uint64_t offset);
    std::int64_t read(std::int64_t file, std::span<std::byte> out);
    std::int64_t page_alloc(std::uint64_t address, std::uint64_t rights);
    std::int64_t page_map(std::uint64_t from, std::uint64_t to, std::uint64_t rights);
    std::int64_t page_unmap(std::uint64_t address);
    std::int64_t ept_map(std::int64_t srcenv, std::uint64_t srcva, std::int64_t to,
                         std::uint64_t guest_pa, std::uint64_t perm);
    ///@}

    /// The world that the library's functions mean: the newest one that lives.
    static FakeWorld& current() { return *newest; }

   private:
    struct ProgramPage {
        unsigned frame;
        std::uint64_t rights;
    };
    struct OpenFile {
        const Bytes* bytes;
        std::uint64_t offset;
    };
    struct Injected {
        unsigned number = 0;
        Failure failure = Failure::failed;
    };

    /// Counts the call; the error that the case wants of it, if any.
    std::optional<std::int64_t> begin(Call call);
    std::int64_t show(std::uint64_t address, ProgramPage page);
    void hide(std::uint64_t address);
    OpenFile* file_of(std::int64_t descriptor);
    std::span<std::byte> frame_bytes(unsigned frame) const;

    static inline FakeWorld* newest = nullptr;

    FakeWorld* before_ = newest;  // is hidden while this one lives
    int memory_ = -1;             // a file of all frames, which no frame leaves
    std::byte* view_ = nullptr;   // all of it
    unsigned used_frames_ = 0;
    std::map<std::string, Bytes, std::less<>> files_;
    std::array<std::optional<OpenFile>, kern::syscall::open_files> open_{};
    std::map<std::uint64_t, ProgramPage> pages_;
    std::map<std::uint64_t, GuestPage> guest_pages_;
    std::uint64_t longest_read_ = kern::syscall::longest_write;
    std::array<Injected, call_kinds> failures_{};
    std::array<unsigned, call_kinds> calls_{};
};

inline std::string in_words(std::int64_t answer) {
    constexpr std::array<const char*, 9> names{"",
                                               "no_such_call",
                                               "invalid_argument",
                                               "bad_address",
                                               "not_found",
                                               "out_of_memory",
                                               "busy",
                                               "bad_format",
                                               "failed"};
    if (answer < 0 && answer > -static_cast<std::int64_t>(names.size()))
        return "the error " + std::string{names[static_cast<std::size_t>(-answer)]};
    return std::to_string(answer);
}
/// Whether the answer is 0.
inline ::testing::AssertionResult is_done(std::int64_t answer) {
    if (answer == 0) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << "the answer is " << in_words(answer) << "; wanted is 0";
}
/// Whether the answer is this error.
inline ::testing::AssertionResult is_error(std::int64_t answer, Failure wanted) {
    if (answer == user::error(wanted)) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << "the answer is " << in_words(answer) << "; wanted is "
                                         << in_words(user::error(wanted));
}

/// A world for each case, and what is compared in it.
class ProgramTest : public ::testing::Test {
   protected:
    FakeWorld& world() { return world_; }

    /// Whether the guest has these bytes at `gpa`; says the first that differs.
    ::testing::AssertionResult guest_has(std::uint64_t gpa, std::span<const std::byte> wanted);
    /// Whether the guest has zeros in [begin, end).
    ::testing::AssertionResult guest_has_zeros(std::uint64_t begin, std::uint64_t end) {
        return guest_has(begin, Bytes(end - begin));
    }
    /// Whether the guest has the pages that hold a byte of [begin, end), with these rights.
    ::testing::AssertionResult guest_has_pages(std::uint64_t begin, std::uint64_t end,
                                               std::uint64_t perm);
    /// Whether it has so many pages in all.
    ::testing::AssertionResult guest_has_pages(std::size_t wanted);
    /// No page of the program is left; `when` says after what.
    void expect_nothing_left(const std::string& when);
    /// No two pages of the guest share a frame.
    void expect_own_frames();

   private:
    FakeWorld world_;
};

}  // namespace lab
