// SPDX-License-Identifier: MIT
// Task lab2.sys_ept_map.
#include <algorithm>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "kern/proc/environments.hh"
#include "tables.hh"
#include "vmm/user/guest_env.hh"
#include "vmm/user/syscall_numbers.hh"
#include "vmm/user/system_calls.hh"

namespace lab {
namespace {

using kern::Env;
using kern::EnvId;
using kern::environments;
using kern::UserPage;
using kern::Uva;
using vmm::syscall::perm_all;
using vmm::syscall::perm_execute;
using vmm::syscall::perm_read;
using vmm::syscall::perm_write;

constexpr kern::Rights writable{.write = true, .execute = false};
/// What most cases ask for. That perm_execute needs no right of the program is the affair of some.
constexpr std::uint64_t usual = perm_read | perm_write;
constexpr kern::Rights constant{.write = false, .execute = false};

/// A family of programs: the caller with its parent, a sibling, two children and a grandchild, and
/// their guests. Each program has a page to write and one to read only.
template <class Format>
class SysEptMap : public ::testing::Test {
   protected:
    static constexpr std::uint64_t guest_bytes = 16 << 20;
    static constexpr Uva data{0x40'0000}, constants{0x40'5000}, nothing_there{0x40'6000};
    static constexpr std::size_t pages_of_each = 2;

    void SetUp() override {
        kern::arch::fake::reset({.arena_bytes = 16 << 20, .cpus = 4});
        before_ = kern::frames().accounts();
        parent_ = program("parent", 0);
        caller_ = program("caller", parent_->id);
        sibling_ = program("sibling", parent_->id);
        child_ = program("child", caller_->id);
        grandchild_ = program("grandchild", child_->id);
        guest_ = guest_of_program(*caller_);
        set_up_frames_ = taken(kern::frame_owner::user_page);
    }
    void TearDown() override {
        kern::frames().fail_from(0);
        const std::vector<Hpa> kept = keep_frames_of_guests();
        environments.end_waiting(kern::Ending::Kind::Exited);
        EXPECT_EQ(environments.living(), 0U) << "programs and guests that do not end";
        for (const Hpa frame : kept)
            if (kern::frames().is_owned_by(kern::frame_owner::user_page, frame))
                kern::UserFrame::give_back(frame);
        vmm::test::expect_same_accounts(before_);
    }

    /// As the system call does, with the process layer's lock held.
    std::expected<void, Error> map(EnvId srcenv, Uva srcva, EnvId guest, std::uint64_t guest_pa,
                                   std::uint64_t perm = usual) {
        const kern::LockGuard guard{environments.lock};
        return vmm::sys_ept_map(*caller_, srcenv, srcva, guest, Gpa{guest_pa}, perm);
    }

    Env* program(std::string_view name, EnvId parent) {
        auto env = std::make_unique<Env>();
        env->space = std::move(*kern::AddressSpace::create());
        env->name.assign(name);
        env->parent = parent;
        env->state = Env::State::Receiving;
        for (const auto& [address, rights] : {std::pair{data, writable}, {constants, constant}}) {
            const UserPage made = *env->space->allocate_page(address, rights);
            std::ranges::copy(random().bytes(page), kern::AddressSpace::bytes(made).begin());
        }
        return environments.find(programs_.emplace_back(*environments.add(std::move(env))));
    }
    /// A guest of this program, which never starts.
    EnvId guest_of_program(const Env& owner, std::uint64_t bytes = guest_bytes) {
        return guests_.emplace_back(
            *vmm::GuestEnv::make(owner, Format::format(), {.memory_bytes = bytes}));
    }
    void end(Env& env) {
        const kern::LockGuard guard{environments.lock};
        environments.end(env, {.kind = kern::Ending::Kind::Exited});
    }
    void end(EnvId id) { end(*environments.find(id)); }

    Env& parent() { return *parent_; }
    Env& caller() { return *caller_; }
    Env& sibling() { return *sibling_; }
    Env& child() { return *child_; }
    Env& grandchild() { return *grandchild_; }
    EnvId guest() const { return guest_; }

    static Hpa frame_of(const Env& env, Uva address) {
        const auto found = env.space->find(address);
        if (!found) ADD_FAILURE() << "the program has no page at " << hex(address.value());
        return found ? found->frame : Hpa{};
    }
    static vmm::test::TableInMemory table_of(EnvId id) {
        vmm::GuestEnv& machine = *vmm::guest_of(*environments.find(id));
        return {.root = machine.table().root().value(), .is_ept = Format::is_ept};
    }
    /// All that the processor finds in a guest's table.
    WalkedPages pages_of(EnvId id) const { return vmm::test::all_pages(table_of(id)); }
    /// Whether the guest has this one page, and no other.
    ::testing::AssertionResult has_one_page(EnvId id, std::uint64_t gpa, Hpa frame,
                                            std::uint64_t perm) const {
        const WalkedPages wanted{{gpa,
                                  {.hpa = frame.value(),
                                   .read = (perm & perm_read) != 0,
                                   .write = (perm & perm_write) != 0,
                                   .execute = (perm & perm_execute) != 0,
                                   .bytes = page}}};
        const WalkedPages seen = pages_of(id);
        if (seen == wanted) return ::testing::AssertionSuccess();
        auto failure = ::testing::AssertionFailure()
                       << "wanted is one page, at " << hex(gpa) << ": frame " << hex(frame.value())
                       << ", rights " << perm << "; the guest has " << seen.size();
        for (const auto& [at, found] : seen)
            failure << ", at " << hex(at) << ": frame " << hex(found.hpa) << ", rights "
                    << (found.read ? perm_read : 0) + (found.write ? perm_write : 0) +
                           (found.execute ? perm_execute : 0);
        return failure;
    }
    /// Frames taken from this account since the case began.
    std::uint64_t taken(kern::FrameOwner owner) const {
        return kern::frames().accounts()[owner.index] - before_[owner.index];
    }
    /// After an error: nothing has changed. The pages of all programs go away, and nobody may have
    /// a reference left.
    void expect_nothing_done() {
        EXPECT_EQ(pages_of(guest()).size(), 0U) << "pages of the guest, after errors";
        EXPECT_EQ(taken(kern::frame_owner::user_page), set_up_frames_);
        expect_no_reference();
    }
    void expect_no_reference(std::uint64_t of_guests = 0) {
        for (Env* env : {parent_, caller_, sibling_, child_, grandchild_}) {
            EXPECT_EQ(env->space->page_count(), pages_of_each) << "pages of a program";
            for (const Uva address : {data, constants})
                EXPECT_TRUE(succeeds(env->space->unmap_page(address)));
        }
        EXPECT_LE(taken(kern::frame_owner::user_page), of_guests)
            << "frames that no program has any more, and that a reference keeps; " << of_guests
            << " of them may be the guests'";
    }

   private:
    /// References of this case's own to what the guests have, so that their end finds one each:
    /// whether an entry has brought its own is the affair of the cases that say so.
    std::vector<Hpa> keep_frames_of_guests() const {
        std::vector<Hpa> kept;
        for (const EnvId id : guests_) {
            if (environments.find(id) == nullptr) continue;
            for (const auto& [gpa, seen] : pages_of(id)) {
                const Hpa frame{seen.hpa};
                if (!kern::frames().is_owned_by(kern::frame_owner::user_page, frame))
                    vmm::test::clear_page(table_of(id), gpa);
                else if (keep(frame))
                    kept.push_back(frame);
            }
        }
        return kept;
    }
    bool keep(Hpa frame) const {
        for (const EnvId id : programs_) {
            const Env* const env = environments.find(id);
            for (std::size_t i = 0; env != nullptr && i < env->space->page_count(); ++i) {
                const UserPage page = env->space->page(i);
                if (page.frame != frame) continue;
                env->space->reference(page.address)->release();
                return true;
            }
        }
        return false;
    }

    std::vector<EnvId> programs_, guests_;
    kern::FrameAccounts before_{};
    Env *parent_ = nullptr, *caller_ = nullptr, *sibling_ = nullptr, *child_ = nullptr,
        *grandchild_ = nullptr;
    EnvId guest_ = 0;
    std::uint64_t set_up_frames_ = 0;
};
TYPED_TEST_SUITE(SysEptMap, Formats, FormatNames);

TYPED_TEST(SysEptMap, GivesTheGuestThePage) {
    ASSERT_TRUE(succeeds(this->map(this->caller().id, this->data, this->guest(), 0x20'5000)));
    EXPECT_TRUE(this->has_one_page(this->guest(), 0x20'5000,
                                   this->frame_of(this->caller(), this->data), usual));
}

TYPED_TEST(SysEptMap, ZeroIsTheCaller) {
    ASSERT_TRUE(succeeds(this->map(0, this->data, this->guest(), 0x7000)));
    EXPECT_TRUE(this->has_one_page(this->guest(), 0x7000,
                                   this->frame_of(this->caller(), this->data), usual));
}

TYPED_TEST(SysEptMap, AChildsPageMayBeGiven) {
    ASSERT_TRUE(succeeds(this->map(this->child().id, this->data, this->guest(), 0x7000)));
    EXPECT_TRUE(this->has_one_page(this->guest(), 0x7000, this->frame_of(this->child(), this->data),
                                   usual));
}

TYPED_TEST(SysEptMap, GivesTheRightsAskedFor) {
    for (const std::uint64_t perm :
         {perm_read, perm_read | perm_execute, perm_read | perm_write, perm_all}) {
        const EnvId guest = this->guest_of_program(this->caller());
        ASSERT_TRUE(succeeds(this->map(0, this->data, guest, 0x30'0000, perm))) << "perm " << perm;
        EXPECT_TRUE(
            this->has_one_page(guest, 0x30'0000, this->frame_of(this->caller(), this->data), perm));
    }
}

TYPED_TEST(SysEptMap, AReadOnlyPageMayBeReadAndExecuted) {
    for (const std::uint64_t perm : {perm_read, perm_read | perm_execute}) {
        const EnvId guest = this->guest_of_program(this->caller());
        ASSERT_TRUE(succeeds(this->map(0, this->constants, guest, 0x30'0000, perm)))
            << "perm " << perm;
        EXPECT_TRUE(this->has_one_page(guest, 0x30'0000,
                                       this->frame_of(this->caller(), this->constants), perm));
    }
}

TYPED_TEST(SysEptMap, TheRightsOfItsOwnerCount) {
    // At the same address, the caller may only read, and the child may write.
    ASSERT_TRUE(succeeds(this->caller().space->set_rights(this->data, constant)));
    ASSERT_TRUE(succeeds(this->map(this->child().id, this->data, this->guest(), 0x7000)));
    EXPECT_TRUE(this->has_one_page(this->guest(), 0x7000, this->frame_of(this->child(), this->data),
                                   usual));
}

TYPED_TEST(SysEptMap, MapsTheFirstAndTheLastPage) {
    for (const std::uint64_t gpa : {std::uint64_t{0}, this->guest_bytes - page}) {
        const EnvId guest = this->guest_of_program(this->caller());
        ASSERT_TRUE(succeeds(this->map(0, this->data, guest, gpa))) << hex(gpa);
        EXPECT_TRUE(
            this->has_one_page(guest, gpa, this->frame_of(this->caller(), this->data), usual));
    }
}

TYPED_TEST(SysEptMap, TheGuestsOwnSizeCounts) {
    const EnvId small = this->guest_of_program(this->caller(), 3 * page);
    constexpr std::uint64_t big_bytes = (5ULL << 30) + page;
    const EnvId big = this->guest_of_program(this->caller(), big_bytes);
    ASSERT_TRUE(succeeds(this->map(0, this->data, big, big_bytes - page)))
        << "the last page of a guest with " << hex(big_bytes) << " bytes";
    ASSERT_TRUE(succeeds(this->map(0, this->data, small, 2 * page)))
        << "the last page of a guest with three";
    const Hpa frame = this->frame_of(this->caller(), this->data);
    EXPECT_TRUE(this->has_one_page(big, big_bytes - page, frame, usual));
    EXPECT_TRUE(this->has_one_page(small, 2 * page, frame, usual));
    EXPECT_TRUE(fails_with(this->map(0, this->data, small, 3 * page), Error::OutOfRange))
        << "beyond the memory of a guest with three pages";
}

TYPED_TEST(SysEptMap, ThePageMayBeAnyOfTheProgram) {
    // Three neighbours whose rights differ, and the program's last page.
    constexpr Uva first{0x1234'5678'9000}, last{kern::user_layout::end - page};
    kern::AddressSpace& space = *this->caller().space;
    for (const auto& [address, rights] : {std::pair{first, constant},
                                          {first + page, writable},
                                          {first + 2 * page, constant},
                                          {last, writable}})
        ASSERT_TRUE(succeeds(space.allocate_page(address, rights)));
    std::uint64_t gpa = 0x1000;
    for (const Uva address : {first + page, last}) {
        ASSERT_TRUE(succeeds(this->map(0, address, this->guest(), gpa)))
            << "srcva " << hex(address.value()) << ", which the program may write";
        const WalkedPages seen = this->pages_of(this->guest());
        ASSERT_TRUE(seen.contains(gpa)) << "the guest has no page at " << hex(gpa);
        EXPECT_EQ(hex(seen.at(gpa).hpa), hex(this->frame_of(this->caller(), address).value()))
            << "the frame of srcva " << hex(address.value());
        gpa += page;
    }
    for (const Uva address : {first, first + page, first + 2 * page, last})
        EXPECT_TRUE(succeeds(space.unmap_page(address)));
}

TYPED_TEST(SysEptMap, TheProgramsMemoryStaysAsItWas) {
    const UserPage before = *this->caller().space->find(this->data);
    const Bytes bytes{kern::AddressSpace::bytes(before).begin(),
                      kern::AddressSpace::bytes(before).end()};
    ASSERT_TRUE(succeeds(this->map(0, this->data, this->guest(), 0x7000, perm_read)));
    const auto after = this->caller().space->find(this->data);
    ASSERT_TRUE(after.has_value()) << "the program's page is gone";
    EXPECT_EQ(after->frame, before.frame);
    EXPECT_EQ(after->rights, before.rights);
    EXPECT_TRUE(std::ranges::equal(kern::AddressSpace::bytes(*after), bytes));
    EXPECT_EQ(this->caller().space->page_count(), this->pages_of_each);
}

TYPED_TEST(SysEptMap, TheGuestKeepsWhatItsProgramUnmaps) {
    const Hpa frame = this->frame_of(this->caller(), this->data);
    const std::byte first = *kern::arch::direct_map(frame);
    ASSERT_TRUE(succeeds(this->map(0, this->data, this->guest(), 0x7000)));
    ASSERT_TRUE(succeeds(this->caller().space->unmap_page(this->data)));
    ASSERT_TRUE(kern::frames().is_owned_by(kern::frame_owner::user_page, frame))
        << "the frame was freed, and the guest's table still shows it: the entry needs a reference "
           "of its own";
    EXPECT_EQ(*kern::arch::direct_map(frame), first);
    this->end(this->guest());
    EXPECT_FALSE(kern::frames().is_owned_by(kern::frame_owner::user_page, frame))
        << "the frame is in use, though its program and the guest have given it up";
}

TYPED_TEST(SysEptMap, TheProgramKeepsItsPageWhenTheGuestEnds) {
    const Hpa frame = this->frame_of(this->caller(), this->data);
    ASSERT_TRUE(succeeds(this->map(0, this->data, this->guest(), 0x7000)));
    ASSERT_TRUE(this->has_one_page(this->guest(), 0x7000, frame, usual));
    this->end(this->guest());
    ASSERT_TRUE(kern::frames().is_owned_by(kern::frame_owner::user_page, frame))
        << "the frame was freed with the guest, and its program has it still";
    EXPECT_TRUE(succeeds(this->caller().space->unmap_page(this->data)));
    EXPECT_FALSE(kern::frames().is_owned_by(kern::frame_owner::user_page, frame))
        << "the frame is in use, though nobody has it";
}

TYPED_TEST(SysEptMap, EachEntryHasAReferenceOfItsOwn) {
    const Hpa frame = this->frame_of(this->caller(), this->data);
    const EnvId other = this->guest_of_program(this->caller());
    ASSERT_TRUE(succeeds(this->map(0, this->data, this->guest(), 0x7000)));
    ASSERT_TRUE(succeeds(this->map(0, this->data, this->guest(), 0x9000, perm_read)));
    ASSERT_TRUE(succeeds(this->map(0, this->data, other, 0x7000)));
    EXPECT_TRUE(succeeds(this->caller().space->unmap_page(this->data)));
    this->end(this->guest());
    EXPECT_TRUE(kern::frames().is_owned_by(kern::frame_owner::user_page, frame))
        << "the frame was freed, and the other guest has it still";
    EXPECT_TRUE(this->has_one_page(other, 0x7000, frame, usual));
    this->end(other);
    EXPECT_FALSE(kern::frames().is_owned_by(kern::frame_owner::user_page, frame))
        << "the frame is in use, though nobody has it";
}

TYPED_TEST(SysEptMap, NobodyHasThatNumber) {
    const EnvId gone = this->guest_of_program(this->caller());
    this->end(gone);
    Env& ended = *this->program("ended", this->caller().id);
    const EnvId ended_id = ended.id;
    this->end(ended);
    for (const EnvId id : {EnvId{0x7fff'ff07}, ~EnvId{}, ended_id, gone}) {
        EXPECT_TRUE(fails_with(this->map(id, this->data, this->guest(), 0x7000), Error::NotFound))
            << "srcenv " << id;
        EXPECT_TRUE(fails_with(this->map(0, this->data, id, 0x7000), Error::NotFound))
            << "guest " << id;
    }
    this->expect_nothing_done();
}

TYPED_TEST(SysEptMap, OthersPagesAreNotOurs) {
    struct Other {
        const char* name;
        Env& env;
    };
    for (const auto& [name, env] :
         {Other{"the parent", this->parent()}, Other{"a sibling", this->sibling()},
          Other{"a grandchild", this->grandchild()}})
        EXPECT_TRUE(
            fails_with(this->map(env.id, this->data, this->guest(), 0x7000), Error::NotFound))
            << "srcenv is " << name;
    this->expect_nothing_done();
}

TYPED_TEST(SysEptMap, OthersGuestsAreNotOurs) {
    struct Other {
        const char* name;
        Env& env;
    };
    for (const auto& [name, env] :
         {Other{"the parent", this->parent()}, Other{"a sibling", this->sibling()},
          Other{"a child", this->child()}}) {
        const EnvId other = this->guest_of_program(env);
        EXPECT_TRUE(fails_with(this->map(0, this->data, other, 0x7000), Error::NotFound))
            << "the guest is one of " << name;
        EXPECT_EQ(this->pages_of(other).size(), 0U) << "pages of the other's guest";
    }
    this->expect_nothing_done();
}

TYPED_TEST(SysEptMap, AProgramIsNoGuest) {
    for (const EnvId id : {EnvId{0}, this->caller().id, this->child().id})
        EXPECT_TRUE(fails_with(this->map(0, this->data, id, 0x7000), Error::NotFound))
            << "guest " << id;
    this->expect_nothing_done();
}

TYPED_TEST(SysEptMap, AGuestHasNoPagesToGive) {
    const EnvId other = this->guest_of_program(this->caller());
    for (const EnvId id : {this->guest(), other})
        EXPECT_TRUE(fails_with(this->map(id, this->data, this->guest(), 0x7000), Error::NotFound))
            << "srcenv " << id;
    this->expect_nothing_done();
}

TYPED_TEST(SysEptMap, AnAddressWithinAPageIsUnaligned) {
    for (const std::uint64_t offset : {1, 8, 0x800, 0xfff}) {
        EXPECT_TRUE(
            fails_with(this->map(0, this->data + offset, this->guest(), 0x7000), Error::Unaligned))
            << "srcva " << hex(offset) << " bytes into the page";
        EXPECT_TRUE(
            fails_with(this->map(0, this->data, this->guest(), 0x7000 + offset), Error::Unaligned))
            << "guest_pa " << hex(offset) << " bytes into the page";
    }
    this->expect_nothing_done();
}

TYPED_TEST(SysEptMap, WhatTheProgramHasNotIsOutOfRange) {
    const auto direct = reinterpret_cast<std::uintptr_t>(
        kern::arch::direct_map(this->frame_of(this->caller(), this->data)));
    for (const std::uint64_t srcva :
         {std::uint64_t{0}, this->nothing_there.value(), this->data.value() - page,
          kern::user_layout::end.value(), kern::user_layout::end.value() + page,
          std::uint64_t{0xffff'8000'0000'0000}, std::uint64_t{0xffff'ffff'8010'0000},
          ~std::uint64_t{0} - page + 1, std::uint64_t{direct}})
        EXPECT_TRUE(fails_with(this->map(0, Uva{srcva}, this->guest(), 0x7000), Error::OutOfRange))
            << "srcva " << hex(srcva);
    this->expect_nothing_done();
}

TYPED_TEST(SysEptMap, BeyondTheGuestsMemoryIsOutOfRange) {
    for (const std::uint64_t gpa :
         {this->guest_bytes, this->guest_bytes + page, std::uint64_t{1} << 32,
          (std::uint64_t{1} << 40) - page, std::uint64_t{1} << 40, ~std::uint64_t{0} - page + 1})
        EXPECT_TRUE(fails_with(this->map(0, this->data, this->guest(), gpa), Error::OutOfRange))
            << "guest_pa " << hex(gpa) << " of " << hex(this->guest_bytes);
    this->expect_nothing_done();
}

TYPED_TEST(SysEptMap, PermWithoutReadIsInvalid) {
    for (const std::uint64_t perm :
         {std::uint64_t{0}, perm_write, perm_execute, perm_write | perm_execute})
        EXPECT_TRUE(fails_with(this->map(0, this->data, this->guest(), 0x7000, perm),
                               Error::InvalidArgument))
            << "perm " << perm;
    this->expect_nothing_done();
}

TYPED_TEST(SysEptMap, PermWithAForeignBitIsInvalid) {
    for (unsigned bit = 3; bit < 64; ++bit)
        EXPECT_TRUE(fails_with(
            this->map(0, this->data, this->guest(), 0x7000, perm_all | std::uint64_t{1} << bit),
            Error::InvalidArgument))
            << "bit " << bit;
    this->expect_nothing_done();
}

TYPED_TEST(SysEptMap, AReadOnlyPageMayNotBeWritten) {
    for (const std::uint64_t perm : {perm_read | perm_write, perm_all})
        EXPECT_TRUE(fails_with(this->map(0, this->constants, this->guest(), 0x7000, perm),
                               Error::InvalidArgument))
            << "perm " << perm;
    // At the same address, the caller may write, and the child may only read.
    ASSERT_TRUE(succeeds(this->child().space->set_rights(this->data, constant)));
    EXPECT_TRUE(fails_with(this->map(this->child().id, this->data, this->guest(), 0x7000, perm_all),
                           Error::InvalidArgument))
        << "the child may only read its page";
    // It has neighbours that may be written.
    for (const Uva address : {this->constants - page, this->constants + page})
        ASSERT_TRUE(succeeds(this->caller().space->allocate_page(address, writable)));
    EXPECT_TRUE(fails_with(this->map(0, this->constants, this->guest(), 0x7000, perm_all),
                           Error::InvalidArgument))
        << "the pages before and behind it may be written";
    for (const Uva address : {this->constants - page, this->constants + page})
        ASSERT_TRUE(succeeds(this->caller().space->unmap_page(address)));
    this->expect_nothing_done();
}

TYPED_TEST(SysEptMap, APageThatIsThereIsKept) {
    const Hpa first = this->frame_of(this->caller(), this->data);
    ASSERT_TRUE(succeeds(this->map(0, this->data, this->guest(), 0x7000, perm_read)));
    for (const Uva srcva : {this->data, this->constants})
        EXPECT_TRUE(fails_with(this->map(0, srcva, this->guest(), 0x7000, perm_read),
                               Error::AlreadyExists));
    EXPECT_TRUE(this->has_one_page(this->guest(), 0x7000, first, perm_read));
    this->expect_no_reference(1);
}

TYPED_TEST(SysEptMap, OutOfMemoryForAnyTable) {
    for (std::uint64_t there = 0; there < 3; ++there) {  // tables that earlier turns left
        kern::frames().fail_from(1);
        EXPECT_TRUE(fails_with(this->map(0, this->data, this->guest(), 0x7000), Error::OutOfMemory))
            << "no frame for table " << there + 1;
        kern::frames().fail_from(2);
        if (there < 2) {
            EXPECT_TRUE(
                fails_with(this->map(0, this->data, this->guest(), 0x7000), Error::OutOfMemory))
                << "no frame for table " << there + 2;
        }
        EXPECT_EQ(this->pages_of(this->guest()).size(), 0U) << "pages of the guest, after errors";
    }
    kern::frames().fail_from(0);
    ASSERT_TRUE(succeeds(this->map(0, this->data, this->guest(), 0x7000))) << "the next attempt";
    EXPECT_TRUE(this->has_one_page(this->guest(), 0x7000,
                                   this->frame_of(this->caller(), this->data), usual));
    this->expect_no_reference(1);
}

}  // namespace
}  // namespace lab
