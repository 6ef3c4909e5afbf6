// SPDX-License-Identifier: MIT
// check_multiboot2_header: what a kernel may ask for, and in which words it is refused.
#include "vmm/pager/multiboot2_header.hh"

#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "vmm/tests/support/pager_fixture.hh"

namespace vmm::test {
namespace {

class Multiboot2HeaderTest : public PagerTest {
   protected:
    /// A file whose multiboot2 header, with these 32-bit words of tags, is at `offset`.
    Error check(std::uint64_t offset, const std::vector<std::uint32_t>& tags,
                std::uint32_t architecture = 0) {
        constexpr std::uint32_t magic = 0xe852'50d6;
        const auto length = static_cast<std::uint32_t>(16 + tags.size() * 4);
        std::vector<std::uint32_t> words{magic, architecture, length,
                                         0U - magic - architecture - length};
        words.insert(words.end(), tags.begin(), tags.end());
        std::memcpy(file_.data() + offset, words.data(), words.size() * 4);
        return check();
    }
    /// The file as it is.
    Error check() {
        const auto checked = check_multiboot2_header(put_file(file_));
        sections_ = checked ? checked->sections : Multiboot2Request::Sections::No;
        std::array<char, 128> buffer{};
        words_ = checked ? "" : checked.error().describe(buffer);
        EXPECT_LT(words_.size(), 64U) << "evidence has no room for: " << words_;
        return checked ? none : checked.error().error;
    }

    static constexpr auto none = static_cast<Error>(0xff);
    Bytes file_ = Bytes(0x9000);
    std::string words_;  // of the last check
    Multiboot2Request::Sections sections_{};
};

TEST_F(Multiboot2HeaderTest, ServesWhatAKernelUsuallyAsksFor) {
    EXPECT_EQ(check(0x1000, {0, 8}), none);
    EXPECT_EQ(check(0x1000, {1, 20, 1, 2, 6, 0, 6, 8, 0, 8}), none);
}

TEST_F(Multiboot2HeaderTest, PassesOverOptionalTags) {
    EXPECT_EQ(check(0x1000, {0x1'0005, 20, 1024, 768, 32, 0, 0, 8}), none);
}

TEST_F(Multiboot2HeaderTest, ServesInformationThatWeTellOrKnowNotToBeThere) {
    for (const std::uint32_t type : {1, 2, 3, 4, 5, 6, 9})
        EXPECT_EQ(check(0x1000, {1, 12, type, 0, 0, 8}), none) << words_;
    for (const std::uint32_t optional : {0U, 1U << 16}) {
        EXPECT_EQ(check(0x1000, {1 | optional, 16, 4, 9, 0, 8}), none);
        EXPECT_EQ(sections_, optional != 0 ? Multiboot2Request::Sections::Optional
                                           : Multiboot2Request::Sections::Required);
    }
    EXPECT_EQ(check(0x1000, {1U << 16 | 1, 16, 17, 4242, 0, 8}), none) << "nothing is required";
    EXPECT_EQ(sections_, Multiboot2Request::Sections::No);
}

TEST_F(Multiboot2HeaderTest, NothingIsAskedByWhatIsForEfiAlone) {
    EXPECT_EQ(check(0x1000, {7, 8, 8, 12, 0x1000, 0, 9, 12, 0x1000, 0, 0, 8}), none) << words_;
}

TEST_F(Multiboot2HeaderTest, NamesTheRequiredTagThatIsNotServed) {
    EXPECT_EQ(check(0x1000, {5, 20, 1024, 768, 32, 0, 0, 8}), Error::Unsupported);
    EXPECT_EQ(words_, "its header requires a framebuffer: tag 5");
    for (const std::uint32_t type : {2U, 3U, 4U, 5U, 10U, 11U, 4242U, 65535U}) {
        EXPECT_EQ(check(0x1000, {type, 8, 0, 8}), Error::Unsupported);
        EXPECT_TRUE(words_.ends_with(" tag " + std::to_string(type))) << words_;
    }
}

TEST_F(Multiboot2HeaderTest, NamesTheRequiredInformationThatIsNotServed) {
    EXPECT_EQ(check(0x1000, {1, 20, 4, 8, 17, 0, 0, 8}), Error::Unsupported);
    EXPECT_EQ(words_, "its header requires a framebuffer: information 8");
    for (const std::uint32_t type : {0U, 7U, 8U, 10U, 11U, 12U, 13U, 14U, 15U, 16U, 17U, 18U, 19U,
                                     20U, 21U, 22U, 0xffff'ffffU}) {
        EXPECT_EQ(check(0x1000, {1, 12, type, 0, 0, 8}), Error::Unsupported);
        EXPECT_TRUE(words_.ends_with(" information " + std::to_string(type))) << words_;
    }
}

TEST_F(Multiboot2HeaderTest, NamesAnotherArchitecture) {
    EXPECT_EQ(check(0x1000, {0, 8}, 4), Error::Unsupported);
    EXPECT_EQ(words_, "its multiboot2 header is for another architecture: 4");
    EXPECT_EQ(check(0x1000, {0, 8}, ~0U), Error::Unsupported);
}

TEST_F(Multiboot2HeaderTest, NamesAMultiboot1Kernel) {
    constexpr std::uint32_t magic = 0x1bad'b002, flags = 3;
    const std::array<std::uint32_t, 3> header{magic, flags, -(magic + flags)};
    const auto put = [&](std::size_t offset, std::size_t size) {
        std::memcpy(file_.data() + offset, header.data(), size);
    };
    put(0x1000, 8);
    EXPECT_EQ(check(), Error::BadFormat) << "its checksum is wrong";
    put(0x2000 - 8, sizeof header);
    EXPECT_EQ(check(), Error::BadFormat) << "it reaches beyond the first 8 KiB";
    put(0x1004, sizeof header);
    EXPECT_EQ(check(), Error::Unsupported);
    EXPECT_EQ(words_, "it is a multiboot1 kernel: multiboot2 is wanted");
    EXPECT_EQ(check(0x1800, {0, 8}), none) << "it has both headers";
}

TEST_F(Multiboot2HeaderTest, SurvivesAnyTags) {
    for (int round = 0; round < 3000; ++round) {
        std::vector<std::uint32_t> tags(random().between(0, 12));
        for (auto& word : tags) word = static_cast<std::uint32_t>(random().between(0, 24));
        if (!tags.empty() && random().between(0, 3) == 0)
            tags[random().between(0, tags.size() - 1)] =
                static_cast<std::uint32_t>(random().next());
        (void)check(0x1000 + random().between(0, 100) * 8, tags);
    }
}

TEST_F(Multiboot2HeaderTest, RefusesDamagedHeaders) {
    EXPECT_EQ(check(), Error::BadFormat);
    EXPECT_EQ(check(0x1000, {1, 4, 0, 8}), Error::BadFormat);
    EXPECT_EQ(check(0x1000, {1, 0xffff'ffff, 0, 8}), Error::BadFormat);
    EXPECT_EQ(check(0x1000, {}), Error::BadFormat);
}

}  // namespace
}  // namespace vmm::test
