// SPDX-License-Identifier: MIT
#include "program.hh"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <set>

namespace lab {
namespace {

constexpr std::uint64_t page = user::page_size;
constexpr unsigned frames = 4096;
// Where the program may have pages: all else belongs to this process.
constexpr std::uint64_t program_begin = 0x10'0000, program_end = 0x40'0000;
constexpr std::uint64_t all_rights = user::right_read | user::right_write | user::right_execute;

std::uint64_t page_of(std::uint64_t address) {
    return address & ~(page - 1);
}
void* pointer_to(std::uint64_t address) {
    return reinterpret_cast<void*>(address);
}
bool is_program_page(std::uint64_t address) {
    return address >= program_begin && address < program_end;
}

}  // namespace

FakeWorld::FakeWorld() {
    memory_ = memfd_create("frames", 0);
    const auto bytes = static_cast<std::size_t>(frames) * page;
    if (memory_ < 0 || ftruncate(memory_, static_cast<off_t>(bytes)) != 0) std::abort();
    void* const view = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory_, 0);
    if (view == MAP_FAILED) std::abort();
    view_ = static_cast<std::byte*>(view);
    newest = this;
}

FakeWorld::~FakeWorld() {
    while (!pages_.empty()) hide(pages_.begin()->first);
    munmap(view_, static_cast<std::size_t>(frames) * page);
    close(memory_);
    newest = before_;
}

std::span<std::byte> FakeWorld::frame_bytes(unsigned frame) const {
    return {view_ + frame * page, page};
}

Bytes FakeWorld::guest_bytes_at(std::uint64_t gpa, std::uint64_t size) const {
    Bytes bytes;
    while (bytes.size() < size) {
        const std::uint64_t at = gpa + bytes.size();
        const auto found = guest_pages_.find(page_of(at));
        if (found == guest_pages_.end()) {
            ADD_FAILURE() << "the guest has no page at " << hex(page_of(at));
            return bytes;
        }
        const auto part = frame_bytes(found->second.frame).subspan(at - page_of(at));
        const auto taken = part.first(std::min<std::uint64_t>(part.size(), size - bytes.size()));
        bytes.insert(bytes.end(), taken.begin(), taken.end());
    }
    return bytes;
}

void FakeWorld::put_guest_page(std::uint64_t gpa) {
    guest_pages_[gpa] = {used_frames_++, all_rights};
}

std::optional<std::int64_t> FakeWorld::begin(Call call) {
    const auto kind = static_cast<std::size_t>(call);
    if (++calls_[kind] != failures_[kind].number) return std::nullopt;
    return user::error(failures_[kind].failure);
}

std::int64_t FakeWorld::open(std::string_view name) {
    if (const auto failed = begin(Call::open)) return *failed;
    if (name.size() > kern::syscall::longest_name) return user::error(Failure::invalid_argument);
    const auto found = files_.find(name);
    if (found == files_.end()) return user::error(Failure::not_found);
    const auto slot = std::ranges::find_if(open_, [](const auto& file) { return !file; });
    if (slot == open_.end()) return user::error(Failure::out_of_memory);
    slot->emplace(OpenFile{&found->second, 0});
    return slot - open_.begin();
}

FakeWorld::OpenFile* FakeWorld::file_of(std::int64_t descriptor) {
    if (descriptor < 0 || static_cast<std::uint64_t>(descriptor) >= open_.size()) return nullptr;
    auto& file = open_[static_cast<std::size_t>(descriptor)];
    return file ? &*file : nullptr;
}

std::int64_t FakeWorld::seek(std::int64_t file, std::uint64_t offset) {
    if (const auto failed = begin(Call::seek)) return *failed;
    OpenFile* const found = file_of(file);
    if (found == nullptr) return user::error(Failure::not_found);
    found->offset = offset;
    return 0;
}

std::int64_t FakeWorld::read(std::int64_t file, std::span<std::byte> out) {
    if (const auto failed = begin(Call::read)) return *failed;
    OpenFile* const found = file_of(file);
    if (found == nullptr) return user::error(Failure::not_found);
    const std::uint64_t to = user::address_of(out.data());
    for (std::uint64_t at = page_of(to); at < to + out.size(); at += page) {
        if (at >= program_end) break;  // the program's own variables
        const auto there = pages_.find(at);
        if (there == pages_.end() || (there->second.rights & user::right_write) == 0)
            return user::error(Failure::bad_address);
    }
    const Bytes& bytes = *found->bytes;
    if (found->offset >= bytes.size()) return 0;
    const auto count =
        std::min({std::uint64_t{out.size()}, bytes.size() - found->offset, longest_read_});
    std::ranges::copy(std::span{bytes}.subspan(found->offset, count), out.begin());
    found->offset += count;
    return static_cast<std::int64_t>(count);
}

std::int64_t FakeWorld::show(std::uint64_t address, ProgramPage shown) {
    if (address % page != 0) return user::error(Failure::invalid_argument);
    if (!is_program_page(address)) {
        ADD_FAILURE() << "the program makes a page at " << hex(address)
                      << "; utemp is the one that is meant for it";
        return user::error(Failure::bad_address);
    }
    if ((shown.rights & user::right_read) == 0 || (shown.rights & ~all_rights) != 0)
        return user::error(Failure::invalid_argument);
    hide(address);
    const int protection = PROT_READ | ((shown.rights & user::right_write) != 0 ? PROT_WRITE : 0);
    if (mmap(pointer_to(address), page, protection, MAP_SHARED | MAP_FIXED_NOREPLACE, memory_,
             static_cast<off_t>(shown.frame * page)) == MAP_FAILED)
        std::abort();
    pages_[address] = shown;
    return 0;
}

void FakeWorld::hide(std::uint64_t address) {
    if (pages_.erase(address) != 0) munmap(pointer_to(address), page);
}

std::int64_t FakeWorld::page_alloc(std::uint64_t address, std::uint64_t rights) {
    if (const auto failed = begin(Call::page_alloc)) return *failed;
    if (used_frames_ == frames) return user::error(Failure::out_of_memory);
    return show(address, {used_frames_++, rights});
}

std::int64_t FakeWorld::page_map(std::uint64_t from, std::uint64_t to, std::uint64_t rights) {
    if (const auto failed = begin(Call::page_map)) return *failed;
    const auto found = pages_.find(from);
    if (found == pages_.end()) return user::error(Failure::not_found);
    if ((rights & ~found->second.rights) != 0) return user::error(Failure::invalid_argument);
    return show(to, {found->second.frame, rights});
}

std::int64_t FakeWorld::page_unmap(std::uint64_t address) {
    if (const auto failed = begin(Call::page_unmap)) return *failed;
    if (address % page != 0) return user::error(Failure::invalid_argument);
    hide(address);
    return 0;
}

std::int64_t FakeWorld::ept_map(std::int64_t srcenv, std::uint64_t srcva, std::int64_t to,
                                std::uint64_t guest_pa, std::uint64_t perm) {
    if (const auto failed = begin(Call::ept_map)) return *failed;
    if ((srcenv != 0 && srcenv != self) || to != guest) return user::error(Failure::not_found);
    if (srcva % page != 0 || guest_pa % page != 0) return user::error(Failure::invalid_argument);
    const auto found = pages_.find(srcva);
    if (found == pages_.end() || guest_pa >= guest_bytes) return user::error(Failure::bad_address);
    if ((perm & ~all_rights) != 0 || (perm & user::right_read) == 0 ||
        (perm & user::right_write & ~found->second.rights) != 0)
        return user::error(Failure::invalid_argument);
    if (guest_pages_.contains(guest_pa)) return user::error(Failure::invalid_argument);
    guest_pages_[guest_pa] = {found->second.frame, perm};
    return 0;
}

::testing::AssertionResult ProgramTest::guest_has(std::uint64_t gpa,
                                                  std::span<const std::byte> wanted) {
    const Bytes seen = world_.guest_bytes_at(gpa, wanted.size());
    if (seen.size() != wanted.size()) return ::testing::AssertionFailure() << "pages are missing";
    const auto [at, want] = std::ranges::mismatch(seen, wanted);
    if (at == seen.end()) return ::testing::AssertionSuccess();
    std::size_t different = 0;
    for (std::size_t i = 0; i < seen.size(); ++i) different += seen[i] != wanted[i] ? 1 : 0;
    return ::testing::AssertionFailure()
           << "at " << hex(gpa + static_cast<std::uint64_t>(at - seen.begin()))
           << " the guest has the byte " << hex(std::to_integer<unsigned>(*at)) << "; wanted is "
           << hex(std::to_integer<unsigned>(*want)) << " (" << different << " of " << seen.size()
           << " bytes differ)";
}

::testing::AssertionResult ProgramTest::guest_has_pages(std::uint64_t begin, std::uint64_t end,
                                                        std::uint64_t perm) {
    const auto& seen = world_.guest_pages();
    for (std::uint64_t at = page_of(begin); at < end; at += page) {
        const auto found = seen.find(at);
        if (found == seen.end())
            return ::testing::AssertionFailure() << "the guest has no page at " << hex(at);
        if (found->second.perm != perm)
            return ::testing::AssertionFailure()
                   << "the guest's page at " << hex(at) << " has the rights " << found->second.perm
                   << "; wanted is " << perm << " (1 read, 2 write, 4 execute)";
    }
    return ::testing::AssertionSuccess();
}

::testing::AssertionResult ProgramTest::guest_has_pages(std::size_t wanted) {
    const auto& seen = world_.guest_pages();
    if (seen.size() == wanted) return ::testing::AssertionSuccess();
    auto failure = ::testing::AssertionFailure()
                   << "the guest has " << seen.size() << " pages; wanted are " << wanted;
    if (!seen.empty()) failure << "; the last one is at " << hex(seen.rbegin()->first);
    return failure;
}

void ProgramTest::expect_nothing_left(const std::string& when) {
    EXPECT_FALSE(FakeWorld::current().has_page(user::utemp))
        << "a page is still mapped at utemp " << when;
    EXPECT_EQ(FakeWorld::current().program_pages(), 0U)
        << "pages of the program that are left " << when;
}

void ProgramTest::expect_own_frames() {
    std::set<unsigned> shown;
    for (const auto& [gpa, guest_page] : world_.guest_pages())
        EXPECT_TRUE(shown.insert(guest_page.frame).second)
            << "the guest's page at " << hex(gpa) << " has the same frame as another one";
}

}  // namespace lab

// The library.
namespace user {

using lab::FakeWorld;

std::int64_t open(std::string_view name) {
    return FakeWorld::current().open(name);
}
std::int64_t seek(std::int64_t file, std::uint64_t offset) {
    return FakeWorld::current().seek(file, offset);
}
std::int64_t read(std::int64_t file, std::span<std::byte> out) {
    return FakeWorld::current().read(file, out);
}
std::int64_t page_alloc(std::uint64_t address, std::uint64_t rights) {
    return FakeWorld::current().page_alloc(address, rights);
}
std::int64_t page_map(std::uint64_t from, std::uint64_t to, std::uint64_t rights) {
    return FakeWorld::current().page_map(from, to, rights);
}
std::int64_t page_unmap(std::uint64_t address) {
    return FakeWorld::current().page_unmap(address);
}
std::int64_t sys_ept_map(std::int64_t srcenv, std::uint64_t srcva, std::int64_t guest,
                         std::uint64_t guest_pa, std::uint64_t perm) {
    return FakeWorld::current().ept_map(srcenv, srcva, guest, guest_pa, perm);
}
std::int64_t env_id() {
    return FakeWorld::self;
}

void print(std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stderr);
}
void print_hexadecimal(std::uint64_t number) {
    print(lab::hex(number));
}
void yield() {}
std::uint64_t time() {
    return 0;
}
void exit(std::uint64_t status) {
    std::fprintf(stderr, "the program ends itself, with status %lu\n", status);
    _exit(1);
}
void require(bool rule, std::string_view words) {
    if (rule) return;
    print(words);
    exit(1);
}
void require_equal(std::int64_t seen, std::int64_t wanted, std::string_view words) {
    require(seen == wanted, words);
}

std::int64_t system_call(std::uint64_t number, std::uint64_t first, std::uint64_t second,
                         std::uint64_t third, std::uint64_t fourth, std::uint64_t fifth) {
    const auto signed_first = static_cast<std::int64_t>(first);
    if (number == static_cast<std::uint64_t>(vmm::syscall::Number::ept_map))
        return sys_ept_map(signed_first, second, static_cast<std::int64_t>(third), fourth, fifth);
    switch (static_cast<Number>(number)) {
        case Number::open: return open({reinterpret_cast<const char*>(first), second});
        case Number::seek: return seek(signed_first, second);
        case Number::read: return read(signed_first, {reinterpret_cast<std::byte*>(second), third});
        case Number::page_alloc: return page_alloc(first, second);
        case Number::page_map: return page_map(first, second, third);
        case Number::page_unmap: return page_unmap(first);
        case Number::env_id: return env_id();
        case Number::nothing:
        case Number::yield: return 0;
        default: return error(Failure::no_such_call);
    }
}

}  // namespace user
