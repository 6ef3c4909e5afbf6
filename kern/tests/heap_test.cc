// SPDX-License-Identifier: MIT
#include "kern/mm/heap.hh"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <random>
#include <vector>

#include "kern/arch/host/fake.hh"

namespace kern {
namespace {

class HeapTest : public ::testing::Test {
   protected:
    void SetUp() override { arch::fake::reset(4 << 20); }
    static std::uint64_t account() { return frames().accounts()[frame_owner::heap.index]; }
    Heap heap_;
};

TEST_F(HeapTest, GivesBackWhatItTook) {
    for (const std::size_t bytes :
         {0UL, 1UL, 16UL, 17UL, 100UL, 1984UL, 1985UL, 4096UL, 100'000UL}) {
        void* const memory = heap_.allocate(bytes);
        ASSERT_NE(memory, nullptr);
        std::memset(memory, 0xff, bytes);
        EXPECT_GT(account(), 0U);
        heap_.free(memory);
        EXPECT_EQ(account(), 0U) << bytes << " bytes";
    }
    heap_.free(nullptr);
}

TEST_F(HeapTest, Aligns) {
    for (std::size_t alignment = 1; alignment <= page_size; alignment *= 2) {
        for (const std::size_t bytes : {1UL, 24UL, 100UL, 700UL, 1000UL, 1400UL, 3000UL, 9000UL}) {
            void* const memory = heap_.allocate(bytes, alignment);
            ASSERT_NE(memory, nullptr);
            EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory) % alignment, 0U);
            std::memset(memory, 0xff, bytes);
            heap_.free(memory);
        }
    }
    EXPECT_EQ(account(), 0U);
}

TEST_F(HeapTest, SmallObjectsShareFrames) {
    std::vector<void*> objects;
    for (int i = 0; i < 252; ++i) objects.push_back(heap_.allocate(16));
    EXPECT_EQ(account(), 1U);
    objects.push_back(heap_.allocate(16));
    EXPECT_EQ(account(), 2U);
    for (void* object : objects) heap_.free(object);
    EXPECT_EQ(account(), 0U);
}

TEST_F(HeapTest, RunsOutWithoutALeak) {
    frames().fail_from(1);
    EXPECT_EQ(heap_.allocate(16), nullptr);
    EXPECT_EQ(heap_.allocate(5000), nullptr);
    frames().fail_from(2);  // the note fits, the run does not
    EXPECT_EQ(heap_.allocate(5000), nullptr);
    frames().fail_from(0);
    EXPECT_EQ(account(), 0U);
    EXPECT_EQ(heap_.allocate(~std::size_t{0}), nullptr);
    EXPECT_EQ(heap_.allocate(8 << 20), nullptr);
    EXPECT_EQ(account(), 0U);
}

TEST_F(HeapTest, KeepsObjectsApart) {
    struct Object {
        unsigned char* memory;
        std::size_t bytes;
        unsigned char fill;
    };
    std::mt19937 random{5};
    std::vector<Object> objects;
    for (int round = 0; round < 20'000; ++round) {
        if (objects.size() < 200 && random() % 2 == 0) {
            const std::size_t bytes = random() % 50 == 0 ? random() % 20'000 : random() % 2'100;
            auto* const memory = static_cast<unsigned char*>(heap_.allocate(bytes));
            ASSERT_NE(memory, nullptr);
            const auto fill = static_cast<unsigned char>(random());
            std::memset(memory, fill, bytes);
            objects.push_back({memory, bytes, fill});
        } else if (!objects.empty()) {
            const std::size_t at = random() % objects.size();
            std::swap(objects[at], objects.back());
            const Object object = objects.back();
            objects.pop_back();
            ASSERT_TRUE(std::all_of(object.memory, object.memory + object.bytes,
                                    [&](unsigned char byte) { return byte == object.fill; }));
            heap_.free(object.memory);
        }
    }
    for (const Object& object : objects) heap_.free(object.memory);
    EXPECT_EQ(account(), 0U);
}

using HeapDeathTest = HeapTest;

TEST_F(HeapDeathTest, MisuseIsFatal) {
    auto* const small = static_cast<std::byte*>(heap_.allocate(32));
    void* const neighbour = heap_.allocate(32);
    auto* const large = static_cast<std::byte*>(heap_.allocate(3 * page_size));
    EXPECT_DEATH(heap_.free(small + 16), "middle of an object");
    EXPECT_DEATH(heap_.free(small + 96), "twice");  // 64 is the note of the large one
    EXPECT_DEATH(heap_.free(small - 16), "not its own");
    EXPECT_DEATH(heap_.free(large + page_size), "not in use");
    EXPECT_DEATH(heap_.free(large + 64), "not its own");
    int local = 0;
    EXPECT_DEATH(heap_.free(&local), "not a pointer into the direct map");
    EXPECT_DEATH(heap_.allocate(1, 3), "powers of two");
    heap_.free(small);
    EXPECT_DEATH(heap_.free(small), "twice");
    heap_.free(neighbour);
    heap_.free(large);
    EXPECT_DEATH(heap_.free(large), "not in use");
}

}  // namespace
}  // namespace kern
