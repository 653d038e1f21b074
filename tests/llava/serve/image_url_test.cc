// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/media/image_url.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "llava/serve/media/global_address.h"

namespace llava::serve {
namespace {

using boost::asio::ip::make_address;

TEST(GlobalAddress, OnlyThePublicInternet) {
  for (const char* address :
       {"8.8.8.8", "1.1.1.1", "172.15.255.255", "172.32.0.0", "100.63.255.255", "100.128.0.0",
        "192.167.255.255", "223.255.255.255", "2606:4700:4700::1111", "2a00:1450:4001::1"}) {
    EXPECT_TRUE(is_global_address(make_address(address))) << address;
  }
  for (const char* address : {"0.0.0.0",
                              "0.1.2.3",
                              "10.0.0.1",
                              "10.255.255.255",
                              "100.64.0.0",
                              "100.127.255.255",
                              "127.0.0.1",
                              "127.255.255.254",
                              "169.254.169.254",
                              "172.16.0.0",
                              "172.31.255.255",
                              "192.0.0.1",
                              "192.0.2.1",
                              "192.88.99.1",
                              "192.168.0.1",
                              "198.18.0.1",
                              "198.19.255.255",
                              "198.51.100.7",
                              "203.0.113.9",
                              "224.0.0.1",
                              "239.255.255.255",
                              "240.0.0.1",
                              "255.255.255.255",
                              "::",
                              "::1",
                              "::ffff:8.8.8.8",
                              "::ffff:127.0.0.1",
                              "::8.8.8.8",
                              "64:ff9b::808:808",
                              "64:ff9b:1::1",
                              "100::1",
                              "2001::1",
                              "2001:2::1",
                              "2001:10::1",
                              "2001:db8::1",
                              "2002:7f00:1::",
                              "3fff::1",
                              "5f00::1",
                              "fc00::1",
                              "fd12::1",
                              "fe80::1",
                              "fec0::1",
                              "ff02::1"}) {
    EXPECT_FALSE(is_global_address(make_address(address))) << address;
  }
}

ImageUrlPolicy make_policy(const std::string& policy, std::vector<std::string> domains = {}) {
  ImageUrlOptions options;
  options.image_url_policy = policy;
  options.image_url_domain = std::move(domains);
  return ImageUrlPolicy(options);
}

TEST(ImageUrlPolicy, ReadsAddresses) {
  const ImageUrlPolicy policy = make_policy("public");
  const ImageUrl url = policy.check("HTTPS://Images.Example.org./a%20b.png?x=1#part");
  EXPECT_EQ(url.host, "images.example.org");
  EXPECT_EQ(url.port, 443);
  EXPECT_TRUE(url.is_https);
  EXPECT_FALSE(url.address);
  EXPECT_EQ(url.text.find('#'), std::string::npos) << url.text;
  EXPECT_EQ(policy.check("http://1.2.3.4/").address, make_address("1.2.3.4"));
  EXPECT_EQ(policy.check("http://[2606:4700::1]:80/").address, make_address("2606:4700::1"));
  EXPECT_EQ(policy.check("http://a-1.example:80").port, 80);
}

TEST(ImageUrlPolicy, RefusesWhatItsTextGivesAway) {
  const ImageUrlPolicy policy = make_policy("public");
  for (const char* url : {"",
                          "x",
                          "//example.org/a",
                          "ftp://example.org/",
                          "file:///etc/passwd",
                          "gopher://a/",
                          "http://",
                          "http:///a",
                          "http://user@example.org/",
                          "http://user:pass@example.org/",
                          "http://example.org@127.0.0.1/",
                          "http://example.org:22/",
                          "http://example.org:8080/",
                          "http://2130706433/",
                          "http://0x7f000001/",
                          "http://0x7f.1/",
                          "http://0177.0.0.1/",
                          "http://127.1/",
                          "http://127.0.1/",
                          "http://1.2.3.4.5/",
                          "http://1.2.3.256/",
                          "http://%31%32%37.0.0.1/",
                          "http://exam ple.org/",
                          "http://example.org\\@127.0.0.1/",
                          "http://example.org/\x01",
                          "http://[::1",
                          "http://[fe80::1%25eth0]/",
                          "http://example.0x1/",
                          "http://1.2.3.4./"}) {
    EXPECT_THROW(policy.check(url), Error) << url;
  }
  EXPECT_THROW(policy.check("http://example.org/" + std::string(9000, 'a')), Error);
}

TEST(ImageUrlPolicy, HostsOfTheList) {
  const ImageUrlPolicy policy = make_policy("allowlist", {"Images.example.org", "*.cdn.example"});
  EXPECT_NO_THROW(policy.check("http://images.EXAMPLE.org/a"));
  EXPECT_NO_THROW(policy.check("https://a.cdn.example/a"));
  EXPECT_NO_THROW(policy.check("https://a.b.cdn.example./a"));
  for (const char* url : {"http://example.org/", "http://x.images.example.org/",
                          "https://cdn.example/", "https://badcdn.example/", "http://8.8.8.8/"}) {
    EXPECT_THROW(policy.check(url), Error) << url;
  }
}

TEST(ImageUrlPolicy, RedirectsStayOnHttps) {
  const ImageUrlPolicy policy = make_policy("public");
  const ImageUrl https = policy.check("https://example.org/");
  EXPECT_NO_THROW(policy.check_redirect(https, "https://other.example/"));
  EXPECT_THROW(policy.check_redirect(https, "http://example.org/"), Error);
  EXPECT_NO_THROW(policy.check_redirect(policy.check("http://a.example/"), "https://a.example/"));
}

TEST(ImageUrlPolicy, NetworksOfTheOperator) {
  ImageUrlOptions options;
  options.image_url_policy = "public";
  options.image_url_network = {"10.1.0.0/16", "192.168.7.7/32", "fd00:1::/32"};
  options.image_url_port = {"8080"};
  const ImageUrlPolicy policy(options);
  for (const char* address : {"10.1.0.0", "10.1.255.255", "192.168.7.7", "fd00:1::5", "8.8.8.8"}) {
    EXPECT_TRUE(policy.allows(make_address(address))) << address;
  }
  for (const char* address : {"10.2.0.0", "192.168.7.8", "fd00:2::5", "::ffff:10.1.0.1"}) {
    EXPECT_FALSE(policy.allows(make_address(address))) << address;
  }
  EXPECT_NO_THROW(policy.check("http://example.org:8080/"));
}

TEST(ImageUrlPolicy, FlagsThatMakeNoSense) {
  const auto make = [](auto change) {
    ImageUrlOptions options;
    options.image_url_policy = "public";
    change(options);
    const ImageUrlPolicy policy(options);
  };
  EXPECT_THROW(make([](auto& o) { o.image_url_policy = "allowlist"; }), Error);
  EXPECT_THROW(make([](auto& o) { o.image_url_domain = {"http://a"}; }), Error);
  EXPECT_THROW(make([](auto& o) { o.image_url_domain = {"a.*.example"}; }), Error);
  EXPECT_THROW(make([](auto& o) { o.image_url_domain = {"*"}; }), Error);
  EXPECT_THROW(make([](auto& o) { o.image_url_domain = {""}; }), Error);
  EXPECT_THROW(make([](auto& o) { o.image_url_port = {"70000"}; }), Error);
  EXPECT_THROW(make([](auto& o) { o.image_url_port = {"80x"}; }), Error);
  EXPECT_THROW(make([](auto& o) { o.image_url_network = {"10.0.0.0"}; }), Error);
  EXPECT_THROW(make([](auto& o) { o.image_url_network = {"10.0.0.0/33"}; }), Error);
}

}  // namespace
}  // namespace llava::serve
