// SPDX-License-Identifier: Apache-2.0
//
// Ranks of several machines find each other, and nobody else is let in.
#include "llava/engine/parallel/rank_meeting.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <functional>
#include <future>
#include <string>
#include <utility>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/hmac.h"

namespace llava::engine {
namespace {

using namespace std::chrono_literals;

RankMeeting meeting_at(uint16_t port, std::chrono::seconds patience = 20s) {
  return {.host = "127.0.0.1", .port = port, .secret = "open sesame", .patience = patience};
}

std::future<RankLink> join_soon(const RankMeeting& meeting, int32_t rank, int32_t num_ranks) {
  return std::async(std::launch::async,
                    [=] { return join_ranks(meeting, {.rank = rank, .num_ranks = num_ranks}); });
}

// A connection of somebody who is no rank.
Descriptor connect_stranger(uint16_t port) {
  Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  EXPECT_EQ(::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  return socket;
}

void expect_error(ErrorCode code, const std::vector<std::string>& words,
                  const std::function<void()>& act) {
  try {
    act();
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    for (const std::string& word : words) {
      EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
    }
  }
}

void send_number(RankLink& link, unsigned char number) {
  link.send(FrameKind::kPayload, std::as_bytes(std::span(&number, 1)));
}

int receive_number(RankLink& link) {
  std::vector<std::byte> bytes;
  EXPECT_EQ(link.receive(bytes, 5s), FrameKind::kPayload);
  return bytes.size() == 1 ? std::to_integer<int>(bytes.front()) : -1;
}

TEST(RankMeeting, LinksComeInTheOrderOfTheRanks) {
  RankListener listener(meeting_at(0));
  std::vector<std::future<RankLink>> joining;
  for (const int32_t rank : {4, 2, 3}) {
    joining.push_back(join_soon(meeting_at(listener.port()), rank, 5));
  }
  std::vector<RankLink> links = listener.admit(2, 5);
  ASSERT_EQ(links.size(), 3u);
  for (std::size_t i = 0; i < joining.size(); ++i) {
    RankLink other = joining[i].get();
    const int rank = std::vector{4, 2, 3}[i];
    send_number(other, static_cast<unsigned char>(rank));
    EXPECT_EQ(receive_number(links[static_cast<std::size_t>(rank) - 2]), rank);
    send_number(links[static_cast<std::size_t>(rank) - 2], 9);
    EXPECT_EQ(receive_number(other), 9);
  }
}

TEST(RankMeeting, TheOtherMachinesMayBeFirst) {
  uint16_t port = 0;
  { port = RankListener(meeting_at(0)).port(); }
  std::future<RankLink> joining = join_soon(meeting_at(port), 1, 2);
  EXPECT_EQ(joining.wait_for(700ms), std::future_status::timeout);
  RankListener listener(meeting_at(port));
  EXPECT_EQ(listener.admit(1, 2).size(), 1u);
  joining.get();
}

TEST(RankMeeting, WhoIsNoneOfThemIsTurnedAway) {
  RankListener listener(meeting_at(0));
  const uint16_t port = listener.port();
  // Who says nothing, who says nonsense, who has gone again, and a frame of half of all memory.
  const Descriptor silent = connect_stranger(port);
  const Descriptor noisy = connect_stranger(port);
  ASSERT_EQ(::send(noisy.get(), "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL), 18);
  { const Descriptor gone = connect_stranger(port); }
  const Descriptor huge = connect_stranger(port);
  const std::array<uint64_t, 2> head{static_cast<uint64_t>(FrameKind::kHello), uint64_t{1} << 31};
  ASSERT_EQ(::send(huge.get(), head.data(), sizeof(head), MSG_NOSIGNAL), 16);
  RankMeeting other_secret = meeting_at(port);
  other_secret.secret = "open barley";
  auto enemy = join_soon(other_secret, 1, 3);
  auto of_another_group = join_soon(meeting_at(port), 1, 4);
  auto of_the_first_machine = join_soon(meeting_at(port), 0, 3);
  auto first = join_soon(meeting_at(port), 1, 3);
  auto admitted = std::async(std::launch::async, [&] { return listener.admit(1, 3); });
  first.get();
  auto again = join_soon(meeting_at(port), 1, 3);
  expect_error(ErrorCode::kInvalidArgument, {"LLAVA_RANK_SECRET"}, [&] { enemy.get(); });
  expect_error(ErrorCode::kInvalidArgument, {"--tp 4", "--tp 3"}, [&] { of_another_group.get(); });
  expect_error(ErrorCode::kInvalidArgument, {"rank 0", "--node-rank"},
               [&] { of_the_first_machine.get(); });
  expect_error(ErrorCode::kInvalidArgument, {"rank 1 has joined before"}, [&] { again.get(); });
  auto second = join_soon(meeting_at(port), 2, 3);
  EXPECT_EQ(admitted.get().size(), 2u);
  second.get();
}

TEST(RankMeeting, NamesThoseThatDoNotCome) {
  RankListener listener(meeting_at(0, 2s));
  auto joining = join_soon(meeting_at(listener.port()), 2, 4);
  expect_error(ErrorCode::kUnavailable, {"4 ranks", "within 2 seconds: 1, 3."},
               [&] { listener.admit(1, 4); });
  joining.get();
}

TEST(RankMeeting, DoesNotWaitForAFirstRankForEver) {
  uint16_t port = 0;
  { port = RankListener(meeting_at(0)).port(); }
  expect_error(ErrorCode::kUnavailable, {"has not listened", "1 seconds"},
               [&] { join_ranks(meeting_at(port, 1s), {.rank = 1, .num_ranks = 2}); });
  RankMeeting nowhere = meeting_at(port);
  nowhere.host = "no such host";
  expect_error(ErrorCode::kUnavailable, {"--master-addr 'no such host'"},
               [&] { RankListener listener(nowhere); });
}

TEST(RankMeeting, AJoinerKnowsAFalseFirstRank) {
  // It repeats whatever it is sent.
  Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  ASSERT_EQ(::bind(socket.get(), generic, size), 0);
  ASSERT_EQ(::listen(socket.get(), 1), 0);
  ASSERT_EQ(::getsockname(socket.get(), generic, &size), 0);
  auto joining = join_soon(meeting_at(ntohs(address.sin_port)), 1, 2);
  RankLink link{Descriptor(::accept(socket.get(), nullptr, nullptr))};
  const std::string nonce = R"({"nonce":")" + fresh_nonce() + R"("})";
  link.send(FrameKind::kHello, std::as_bytes(std::span(nonce)));
  std::vector<std::byte> hello;
  ASSERT_EQ(link.receive(hello, 5s), FrameKind::kHello);
  link.send(FrameKind::kHello, hello);
  expect_error(ErrorCode::kInvalidArgument, {"does not know the secret"}, [&] { joining.get(); });
}

TEST(RankMeeting, HellosAreCheckedMemberByMember) {
  const RankHello hello =
      parse_rank_hello(R"({"rank":3,"ranks":4,"version":"1","nonce":"ab","proof":"cd"})");
  EXPECT_EQ(hello.rank, 3);
  EXPECT_EQ(hello.proof, "cd");
  for (const char* text :
       {"", "[]", "{}", R"({"rank":-1,"ranks":4,"version":"1","nonce":"ab","proof":"cd"})",
        R"({"rank":1e9,"ranks":4,"version":"1","nonce":"ab","proof":"cd"})",
        R"({"rank":99999999999,"ranks":4,"version":"1","nonce":"ab","proof":"cd"})",
        R"({"rank":3,"ranks":4,"version":1,"nonce":"ab","proof":"cd"})",
        R"({"rank":3,"ranks":4,"version":"1","nonce":"ab"})"}) {
    EXPECT_THROW(parse_rank_hello(text), Error) << text;
  }
}

}  // namespace
}  // namespace llava::engine
