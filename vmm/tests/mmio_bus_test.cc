// SPDX-License-Identifier: MIT
#include "vmm/devices/mmio_bus.hh"

#include <gtest/gtest.h>

#include <array>

#include "kern/tests/support/results.hh"

namespace vmm {
namespace {

using kern::test::fails_with;
using kern::test::succeeds;

class Device final : public MmioDevice {
   public:
    std::expected<std::uint64_t, Error> read(const MmioAccess& access) override {
        last = access;
        return 0x12;
    }
    std::expected<void, Error> write(const MmioAccess& access, std::uint64_t value) override {
        last = access;
        written = value;
        return {};
    }
    MmioAccess last{};
    std::uint64_t written = 0;
};

constexpr Gpa at{0xd000'0000};

TEST(Bus, FindsTheDeviceOfAnAddress) {
    MmioBus bus;
    Device one, two;
    ASSERT_TRUE(succeeds(bus.attach(at, 0x20, one)));
    ASSERT_TRUE(succeeds(bus.attach(at + 0x20, 8, two))) << "side by side";
    EXPECT_FALSE(bus.has(at - 1));
    EXPECT_TRUE(bus.has(at));
    EXPECT_TRUE(bus.has(at + 0x27));
    EXPECT_FALSE(bus.has(at + 0x28));
    ASSERT_TRUE(bus.write(3, at + 0x24, 4, 0x55));
    EXPECT_EQ(two.written, 0x55U);
    EXPECT_EQ(two.last.vcpu, 3U);
    EXPECT_EQ(two.last.offset, 4U);
    EXPECT_EQ(two.last.size, 4U);
    EXPECT_EQ(bus.read(1, at + 0x1f, 1), 0x12U);
    EXPECT_EQ(one.last.offset, 0x1fU);
}

TEST(Bus, RefusesWhatIsNotOneDevices) {
    MmioBus bus;
    Device one, two;
    ASSERT_TRUE(succeeds(bus.attach(at, 0x20, one)));
    ASSERT_TRUE(succeeds(bus.attach(at + 0x20, 0x20, two)));
    EXPECT_TRUE(fails_with(bus.read(0, at - 1, 4), Error::NotFound));
    EXPECT_TRUE(fails_with(bus.write(0, at + 0x40, 1, 0), Error::NotFound));
    EXPECT_TRUE(fails_with(bus.read(0, at + 0x1e, 4), Error::OutOfRange)) << "two devices";
    EXPECT_TRUE(fails_with(bus.write(0, at + 0x3f, 8, 0), Error::OutOfRange));
    EXPECT_EQ(two.written, 0U);
    ASSERT_TRUE(succeeds(bus.attach(mmio_hole_end - 4, 4, one)));
    EXPECT_TRUE(fails_with(bus.read(0, mmio_hole_end - 2, 4), Error::OutOfRange));
}

TEST(Bus, HasBounds) {
    MmioBus bus;
    Device device;
    EXPECT_TRUE(fails_with(bus.attach(at, 0, device), Error::InvalidArgument));
    EXPECT_TRUE(fails_with(bus.attach(mmio_hole_begin - 1, 2, device), Error::OutOfRange));
    EXPECT_TRUE(fails_with(bus.attach(mmio_hole_end - 1, 2, device), Error::OutOfRange));
    EXPECT_TRUE(fails_with(bus.attach(at, ~0ULL, device), Error::OutOfRange));
    ASSERT_TRUE(succeeds(bus.attach(at, 0x10, device)));
    EXPECT_TRUE(fails_with(bus.attach(at + 0xf, 0x10, device), Error::Overlap));
    EXPECT_TRUE(fails_with(bus.attach(at - 8, 9, device), Error::Overlap));
    for (unsigned i = 1; i < MmioBus::max_devices; ++i)
        ASSERT_TRUE(succeeds(bus.attach(at + std::uint64_t{i} * 0x10, 0x10, device)));
    EXPECT_TRUE(fails_with(bus.attach(at + 0x1000, 0x10, device), Error::OutOfMemory));
}

}  // namespace
}  // namespace vmm
