// SPDX-License-Identifier: MIT
// Task lab6.rewrite_sensitive.
#include "vmm/soft/rewrite_sensitive.hh"

#include <algorithm>

#include "labs/unit_fixture.hh"

namespace lab {
namespace {

using vmm::soft::Site;
using vmm::soft::SiteNote;
using vmm::soft::Sites;
using Kind = SiteNote::Kind;

class RewriteSensitive : public ::testing::Test {
   protected:
    static constexpr std::uint32_t base = 0x0010'0000;

    void SetUp() override {
        text = Bytes(64, std::byte{0x90});
        text[0] = std::byte{0x9d};
        text[10] = std::byte{0x9c};
        text[20] = std::byte{0x8c};
        text[21] = std::byte{0xd8};
        text[30] = std::byte{0xf4};  // the guest's own
        text[63] = std::byte{0x9d};
    }
    std::expected<void, Error> rewrite(const std::vector<SiteNote>& notes) {
        return rewrite_sensitive(text, base, notes, sites);
    }
    /// Whether it fails so, and changes nothing.
    ::testing::AssertionResult refuses(const std::vector<SiteNote>& notes,
                                       const std::vector<Error>& wanted) {
        const Bytes text_before = text;
        const std::size_t sites_before = sites.size();
        const auto seen = rewrite(notes);
        if (seen) return ::testing::AssertionFailure() << "it succeeds, wanted is an error";
        if (std::ranges::find(wanted, seen.error()) == wanted.end())
            return ::testing::AssertionFailure()
                   << "the error is \"" << describe(seen.error()) << "\", wanted is \""
                   << describe(wanted.front()) << "\"";
        if (text != text_before || sites.size() != sites_before)
            return ::testing::AssertionFailure()
                   << "on an error neither the text nor the sites change";
        return ::testing::AssertionSuccess();
    }
    ::testing::AssertionResult traps(std::size_t offset) const {
        if (text[offset] == vmm::soft::trap_by_hlt || text[offset] == vmm::soft::trap_by_int3)
            return ::testing::AssertionSuccess();
        return ::testing::AssertionFailure()
               << "byte " << offset << " of the text is "
               << hex(std::to_integer<unsigned>(text[offset])) << ", wanted is HLT or INT3";
    }
    ::testing::AssertionResult has(const Site& wanted) const {
        if (std::ranges::count(sites, wanted) == 1) return ::testing::AssertionSuccess();
        return ::testing::AssertionFailure()
               << "the site at " << hex(wanted.address) << " of length " << unsigned{wanted.length}
               << " stands " << std::ranges::count(sites, wanted)
               << " times in the list, wanted once";
    }

    Bytes text;
    Sites sites;
};

constexpr std::byte popf{0x9d}, pushf{0x9c}, mov{0x8c}, mov_ds{0xd8};

TEST_F(RewriteSensitive, PutsATrapInThePlaceOfEachSite) {
    EXPECT_TRUE(succeeds(rewrite(
        {{base, Kind::Popf}, {base + 10, Kind::Pushf}, {base + 20, Kind::MovFromSegment}})));
    EXPECT_TRUE(traps(0));
    EXPECT_TRUE(traps(10));
    EXPECT_TRUE(traps(20));
}

TEST_F(RewriteSensitive, RemembersWhatWasThere) {
    EXPECT_TRUE(succeeds(rewrite(
        {{base, Kind::Popf}, {base + 10, Kind::Pushf}, {base + 20, Kind::MovFromSegment}})));
    EXPECT_EQ(sites.size(), 3U);
    EXPECT_TRUE(has({base, 1, {popf}}));
    EXPECT_TRUE(has({base + 10, 1, {pushf}}));
    EXPECT_TRUE(has({base + 20, 2, {mov, mov_ds}}));
}

TEST_F(RewriteSensitive, TouchesNothingElse) {
    Bytes wanted = text;
    EXPECT_TRUE(succeeds(rewrite({{base + 63, Kind::Popf}, {base, Kind::Popf}})));
    EXPECT_TRUE(traps(63)) << "the last byte of the text";
    EXPECT_TRUE(succeeds(rewrite({{base + 20, Kind::MovFromSegment}})));
    EXPECT_EQ(text[21], mov_ds) << "a second byte stays";
    text[0] = text[63] = wanted[0];
    text[20] = wanted[20];
    EXPECT_EQ(text, wanted);
    EXPECT_TRUE(succeeds(rewrite({}))) << "an empty note";
}

TEST_F(RewriteSensitive, NothingOutsideOfTheText) {
    EXPECT_TRUE(refuses({{base - 1, Kind::Popf}}, {Error::OutOfRange}));
    EXPECT_TRUE(refuses({{base + 64, Kind::Popf}}, {Error::OutOfRange}));
    EXPECT_TRUE(refuses({{0, Kind::Popf}}, {Error::OutOfRange}));
    EXPECT_TRUE(refuses({{0xffff'ffff, Kind::Popf}}, {Error::OutOfRange}));
    text[63] = mov;
    EXPECT_TRUE(refuses({{base + 63, Kind::MovFromSegment}}, {Error::OutOfRange}))
        << "its second byte is outside";
    Sites none;
    EXPECT_FALSE(rewrite_sensitive({}, base, std::vector<SiteNote>{{base, Kind::Popf}}, none));
}

TEST_F(RewriteSensitive, ATextMayReachUpToFourGib) {
    const std::uint32_t high = 0xffff'ffc0;
    EXPECT_TRUE(succeeds(
        rewrite_sensitive(text, high, std::vector<SiteNote>{{0xffff'ffff, Kind::Popf}}, sites)));
    EXPECT_TRUE(traps(63));
    EXPECT_TRUE(has({0xffff'ffff, 1, {popf}}));
    EXPECT_FALSE(rewrite_sensitive(text, high, std::vector<SiteNote>{{0, Kind::Popf}}, sites))
        << "address 0 is not behind 4 GiB";
    text[63] = popf;  // the image was loaded anew, the list was not
    EXPECT_TRUE(fails_with(
        rewrite_sensitive(text, high, std::vector<SiteNote>{{0xffff'ffff, Kind::Popf}}, sites),
        Error::Overlap));
}

TEST_F(RewriteSensitive, TheBytesAreCheckedBefore) {
    EXPECT_TRUE(refuses({{base + 1, Kind::Popf}}, {Error::BadFormat})) << "a NOP";
    EXPECT_TRUE(refuses({{base + 1, Kind::Pushf}}, {Error::BadFormat})) << "a NOP";
    EXPECT_TRUE(refuses({{base, Kind::Pushf}}, {Error::BadFormat})) << "POPF is no PUSHF";
    EXPECT_TRUE(refuses({{base + 30, Kind::Popf}}, {Error::BadFormat})) << "the guest's own HLT";
    EXPECT_TRUE(refuses({{base + 10, Kind::MovFromSegment}}, {Error::BadFormat}));
    for (const unsigned modrm : {0x18U, 0xbfU, 0xf0U, 0xf8U}) {
        text[21] = std::byte(modrm);
        EXPECT_TRUE(refuses({{base + 20, Kind::MovFromSegment}}, {Error::BadFormat}))
            << "ModRM " << hex(modrm);
    }
    text[21] = mov_ds;
    for (const unsigned opcode : {0x89U, 0x8eU}) {
        text[20] = std::byte(opcode);
        EXPECT_TRUE(refuses({{base + 20, Kind::MovFromSegment}}, {Error::BadFormat}))
            << "another MOV, " << hex(opcode);
    }
    for (const unsigned modrm : {0xc0U, 0xefU}) {
        SetUp();
        text[21] = std::byte(modrm);
        sites = {};
        EXPECT_TRUE(succeeds(rewrite({{base + 20, Kind::MovFromSegment}}))) << hex(modrm);
    }
}

TEST_F(RewriteSensitive, AKindThatIsNoneIsRefused) {
    for (const std::uint32_t kind : {0U, 4U, 0xffff'ffffU})
        EXPECT_TRUE(refuses({{base, Kind{kind}}}, {Error::BadFormat})) << kind;
}

TEST_F(RewriteSensitive, NothingIsRewrittenTwice) {
    EXPECT_TRUE(refuses({{base, Kind::Popf}, {base, Kind::Popf}}, {Error::Overlap}))
        << "twice in one note";
    text[21] = popf;
    EXPECT_TRUE(refuses({{base + 21, Kind::Popf}, {base + 20, Kind::MovFromSegment}},
                        {Error::Overlap, Error::BadFormat}))
        << "they share a byte";
    EXPECT_TRUE(succeeds(rewrite({{base, Kind::Popf}})));
    EXPECT_TRUE(refuses({{base, Kind::Popf}}, {Error::Overlap, Error::BadFormat}))
        << "in two notes";
    text[0] = popf;  // the image was loaded anew, the list was not
    EXPECT_TRUE(refuses({{base, Kind::Popf}}, {Error::Overlap}));
    text[1] = popf;
    EXPECT_TRUE(succeeds(rewrite({{base + 1, Kind::Popf}}))) << "right behind a site";
    text[1] = popf;
    EXPECT_TRUE(refuses({{base + 1, Kind::Popf}}, {Error::Overlap})) << "the second of the list";
    text[40] = text[41] = popf;
    EXPECT_TRUE(succeeds(rewrite({{base + 41, Kind::Popf}})));
    EXPECT_TRUE(succeeds(rewrite({{base + 40, Kind::Popf}}))) << "right before a site";
}

TEST_F(RewriteSensitive, ALongText) {
    text = Bytes(0x1'0040, popf);
    EXPECT_TRUE(succeeds(rewrite({{base + 0x1'003f, Kind::Popf}, {base + 0x8000, Kind::Popf}})));
    EXPECT_TRUE(traps(0x1'003f));
    EXPECT_TRUE(traps(0x8000));
    EXPECT_TRUE(has({base + 0x1'003f, 1, {popf}}));
    text[0x3f] = mov;
    text[0x40] = mov_ds;
    EXPECT_TRUE(succeeds(rewrite({{base + 0x3f, Kind::MovFromSegment}})));
}

TEST_F(RewriteSensitive, AllIsLookedAtBeforeTheFirstByteChanges) {
    EXPECT_TRUE(refuses({{base, Kind::Popf}, {base + 10, Kind::Pushf}, {base + 2, Kind::Popf}},
                        {Error::BadFormat}));
    EXPECT_TRUE(refuses({{base, Kind::Popf}, {base + 64, Kind::Popf}}, {Error::OutOfRange}));
}

TEST_F(RewriteSensitive, AFullListIsAnError) {
    text = Bytes(100, popf);
    std::vector<SiteNote> notes;
    for (std::uint32_t i = 0; i < 65; ++i) notes.push_back({base + i, Kind::Popf});
    EXPECT_TRUE(refuses(notes, {Error::OutOfMemory}));
    notes.pop_back();
    EXPECT_TRUE(succeeds(rewrite(notes)));
    EXPECT_EQ(sites.size(), 64U);
    EXPECT_TRUE(refuses({{base + 70, Kind::Popf}}, {Error::OutOfMemory}));
}

}  // namespace
}  // namespace lab
