// SPDX-License-Identifier: MIT
#include "kern/elf/peeker.hh"

#include <gtest/gtest.h>

#include "kern/elf/elf.hh"
#include "recording_disk.hh"

namespace kern {
namespace {

using test::Bytes;

TEST(Peekers, ServeOnlyWhatTheyHold) {
    const Bytes contents = test::numbered_bytes(1000);
    test::RecordingDisk disk{test::make_image({{"file", contents}})};
    const FilePeeker file{*FileSystem::mount(disk)->open("file")};
    const MemoryPeeker memory{contents};
    for (const Peeker* peeker :
         {static_cast<const Peeker*>(&file), static_cast<const Peeker*>(&memory)}) {
        EXPECT_EQ(peeker->size(), 1000U);
        Bytes out(10);
        ASSERT_TRUE(peeker->peek(990, out));
        EXPECT_EQ(out.back(), contents.back());
        EXPECT_TRUE(peeker->peek(1000, {}));
        EXPECT_EQ(peeker->peek(991, out).error(), Error::Truncated);
        EXPECT_EQ(peeker->peek(~0ULL, out).error(), Error::Truncated);
        EXPECT_EQ(peeker->peek(1001, {}).error(), Error::Truncated);
    }
    disk.fail_from(1);
    Bytes out(10);
    EXPECT_EQ(file.peek(0, out).error(), Error::DeviceFailure);
}

TEST(Peekers, GiveValues) {
    const Bytes contents = test::numbered_bytes(10);
    const MemoryPeeker memory{contents};
    const auto value = peek_value<std::uint16_t>(memory, 8);
    ASSERT_TRUE(value);
    EXPECT_EQ(*value,
              std::to_integer<unsigned>(contents[8]) | std::to_integer<unsigned>(contents[9]) << 8);
    EXPECT_EQ(peek_value<std::uint16_t>(memory, 9).error(), Error::Truncated);
}

TEST(Executable, KeepsProgramHeadersInOrder) {
    const MemoryPeeker memory{{}};
    elf::Executable executable{memory, {.entry = 5}};
    EXPECT_EQ(executable.header().entry, 5U);
    EXPECT_TRUE(executable.program_headers().empty());
    for (std::uint64_t i = 0; i < elf::max_program_headers; ++i) executable.add({.p_vaddr = i});
    ASSERT_EQ(executable.program_headers().size(), elf::max_program_headers);
    EXPECT_EQ(executable.program_headers()[7].p_vaddr, 7U);
    EXPECT_EQ(executable.program_header(63)->p_vaddr, 63U);
    EXPECT_EQ(executable.program_header(64).error(), Error::OutOfRange);
    EXPECT_DEATH(executable.add({}), "more program headers");
}

}  // namespace
}  // namespace kern
