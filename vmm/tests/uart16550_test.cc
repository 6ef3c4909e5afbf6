// SPDX-License-Identifier: MIT
#include "vmm/devices/uart16550.hh"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "vmm/devices/io_apic.hh"

namespace vmm {
namespace {

class Uart : public testing::Test {
   protected:
    static void take(void* lines, std::string_view line) {
        static_cast<std::vector<std::string>*>(lines)->emplace_back(line);
    }
    void send(std::string_view text) {
        for (const char character : text) uart_.write(0, static_cast<std::uint8_t>(character));
    }
    static void deliver(void* vectors, const InterruptCommand& command) {
        static_cast<std::vector<unsigned>*>(vectors)->push_back(command.vector);
    }
    /// Line `line` of the IO-APIC is not masked, and has this vector.
    void unmask(unsigned line, std::uint32_t vector) {
        const auto entry = 0x10 + 2 * line;
        ASSERT_TRUE(io_apic_.write({.offset = 0x00}, entry));
        ASSERT_TRUE(io_apic_.write({.offset = 0x10}, vector));
    }
    std::vector<std::string> lines_;
    std::vector<unsigned> vectors_;  ///< of the interrupts that came
    IoApic io_apic_{deliver, &vectors_};
    Uart16550 uart_{take, &lines_, io_apic_};
};

TEST_F(Uart, GivesOutWholeLines) {
    send("hello\r\nwor");
    EXPECT_EQ(lines_, std::vector<std::string>{"hello"});
    send("ld\n\n");
    EXPECT_EQ(lines_, (std::vector<std::string>{"hello", "world", ""}));
    send("rest");
    uart_.flush();
    uart_.flush();
    EXPECT_EQ(lines_.back(), "rest");
    EXPECT_EQ(lines_.size(), 4U);
}

TEST_F(Uart, CutsEndlessLines) {
    send(std::string(2 * LineWriter::limit + 1, 'x'));
    ASSERT_EQ(lines_.size(), 2U);
    EXPECT_EQ(lines_[1].size(), LineWriter::limit);
}

TEST_F(Uart, LetsNoEscapeSequencesThrough) {
    send("\x1b[2J\x07!\n");
    EXPECT_EQ(lines_, std::vector<std::string>{"?[2J?!"});
}

TEST_F(Uart, TheDivisorHidesDataAndInterruptEnable) {
    uart_.write(3, 0x83);
    uart_.write(0, 0x01);
    uart_.write(1, 0x02);
    EXPECT_EQ(uart_.read(0), 0x01);
    EXPECT_EQ(uart_.read(1), 0x02);
    uart_.write(3, 0x03);
    EXPECT_EQ(uart_.read(1), 0x00);
    EXPECT_EQ(uart_.read(3), 0x03);
    uart_.flush();
    EXPECT_TRUE(lines_.empty()) << "the divisor was printed";
}

TEST_F(Uart, RegistersAreThere) {
    EXPECT_EQ(uart_.read(5) & 0x21, 0x20) << "ready to send, nothing received";
    uart_.write(7, 0xa5);
    EXPECT_EQ(uart_.read(7), 0xa5);
    uart_.write(1, 0xff);
    EXPECT_EQ(uart_.read(1), 0x0f);
    EXPECT_EQ(uart_.read(2), 0x01) << "no interrupt waits";
    uart_.write(2, 0x01);
    EXPECT_EQ(uart_.read(2), 0xc1) << "with FIFOs";
    uart_.write(4, 0xff);
    EXPECT_EQ(uart_.read(4), 0x1f);
}

TEST_F(Uart, LoopbackReturnsTheModemLinesAndSendsNothing) {
    uart_.write(4, 0x1a);  // loopback, OUT2, RTS: how drivers find a UART
    EXPECT_EQ(uart_.read(6) & 0xf0, 0x90);
    send("x\n");
    EXPECT_TRUE(lines_.empty());
}

TEST_F(Uart, WhatIsSentInLoopbackIsReceived) {
    uart_.write(4, 0x10);
    EXPECT_EQ(uart_.read(5), 0x60);
    uart_.write(0, 0xa5);
    EXPECT_EQ(uart_.read(5), 0x61) << "a byte is there";
    EXPECT_EQ(uart_.read(0), 0xa5);
    EXPECT_EQ(uart_.read(5), 0x60) << "it was read";
    EXPECT_EQ(uart_.read(0), 0);
}

TEST_F(Uart, AByteThatNobodyReadsIsLostToTheNext) {
    uart_.write(4, 0x10);
    uart_.write(0, 1);
    uart_.write(0, 2);
    EXPECT_EQ(uart_.read(5), 0x63) << "overrun";
    EXPECT_EQ(uart_.read(5), 0x61) << "said once";
    EXPECT_EQ(uart_.read(0), 2);
}

TEST_F(Uart, AReceivedByteInterruptsOnce) {
    unmask(Uart16550::line, 0x41);
    uart_.write(4, 0x10);
    uart_.write(0, 1);
    EXPECT_TRUE(vectors_.empty()) << "IER does not say so";
    uart_.write(1, 0x01);
    EXPECT_EQ(vectors_, std::vector<unsigned>{0x41}) << "a byte waits already";
    EXPECT_EQ(uart_.read(2), 0x04) << "received data";
    uart_.write(0, 2);
    EXPECT_EQ(vectors_.size(), 1U) << "the line is up still";
    EXPECT_EQ(uart_.read(0), 2);
    EXPECT_EQ(uart_.read(2), 0x01);
    uart_.write(0, 3);
    EXPECT_EQ(vectors_.size(), 2U);
}

}  // namespace
}  // namespace vmm
