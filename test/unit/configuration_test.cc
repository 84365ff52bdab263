// Why: a file that changes and a table that is sent go one way, but who sends may less.
#include <fstream>

#include "config/listen.h"
#include "server/configuration.h"
#include "unit/served.h"

using namespace server;

namespace {

/// A server of a real table file, which a test edits.
struct Edited {
    Folder folder;
    std::string path = folder / "table.yaml";
    std::unique_ptr<Running> running;
    std::unique_ptr<Configuration> configuration;

    Edited() { start({}); }
    ~Edited() { CHECK(running->drain(std::chrono::seconds(1)) == Drained::clean); }

    void start(const Overrides& overrides) {
        save(text("a"));
        config::Diagnostics found;
        auto spec = config::load_file(path, found);
        REQUIRE_MESSAGE(spec.has_value(), found.human());
        apply_overrides(*spec, overrides);
        running = std::make_unique<Running>(*spec, 1, 1);
        running->listen(spec->listen);
        configuration = std::make_unique<Configuration>(*running, path, overrides, nullptr);
    }
    std::string text(const std::string& below, const std::string& rest = "") const {
        return "version: 1\nstores:\n  a: { type: file, path: " + (folder / "a") +
               ", size: 1MiB, create: true }\n  m: { type: memory, size: 1MiB }\ndevices:\n"
               "  d: { table: [ { target: linear, args: { device: " +
               below + " } } ] }\nlisten: [ \"unix:" + (folder / "s") + "\" ]\n" + rest;
    }
    void save(const std::string& what) const { std::ofstream(path) << what; }
    std::string table() { return *running->table_text("d", dmcore::TextForm::dm, Slot::live); }
    std::string refusal(const std::string& sent) {
        try {
            configuration->apply({"sent", sent}, {});
        } catch (const BadTable& bad) {
            return bad.found.all().front().slug;
        } catch (const ReloadError& error) {
            return error.slug;
        }
        return "applied";
    }
};

}  // namespace

TEST_CASE_FIXTURE(Edited, "configuration: the file goes live when its bytes are others") {
    configuration->look_for_changes();
    CHECK(running->generation() == 1);
    save(text("a") + "# a remark\n");
    configuration->look_for_changes();
    CHECK(running->generation() == 1);
    save(text("m"));
    configuration->look_for_changes();
    CHECK(running->generation() == 2);
    CHECK(table() == "0 2048 linear m 0\n");
    configuration->look_for_changes();
    CHECK(running->generation() == 2);
}

TEST_CASE_FIXTURE(Edited, "configuration: a bad, half-written or vanished file changes nothing") {
    for (const std::string& bad : {std::string("version: ["), text("nothing"), std::string()}) {
        save(bad);
        configuration->look_for_changes();
        CHECK(running->generation() == 1);
    }
    std::filesystem::remove(path);
    configuration->look_for_changes();
    CHECK(running->generation() == 1);
    save(text("m"));
    configuration->look_for_changes();
    CHECK(running->generation() == 2);
}

TEST_CASE_FIXTURE(Edited, "configuration: included files count, also one that was broken") {
    const std::string more = folder / "more.yaml";
    std::ofstream(more) << "devices: { e: { table: '0 8 zero' } ";
    save(text("a", "include: [ more.yaml ]\n"));
    configuration->look_for_changes();
    CHECK(running->generation() == 1);
    CHECK(configuration->files() == std::vector{more, path});
    std::ofstream(more) << "devices: { e: { table: '0 8 zero' } }";
    configuration->look_for_changes();
    CHECK(running->generation() == 2);
    CHECK(running->devices().size() == 2);
}

TEST_CASE_FIXTURE(Edited, "configuration: memory may go with a saved file only if it says so") {
    std::string without = text("a");
    without.replace(without.find("  m:"), without.find("devices:") - without.find("  m:"), "");
    save(without);
    configuration->look_for_changes();
    CHECK(running->generation() == 1);
    save(without + "reload: { allow_data_loss: true }\n");
    configuration->look_for_changes();
    CHECK(running->generation() == 2);
    // What is sent needs the flag, whatever it says.
    CHECK(refusal(text("m")) == "applied");
    CHECK(refusal(without + "reload: { allow_data_loss: true }\n") == "data-loss");
}

TEST_CASE_FIXTURE(Edited, "configuration: what is sent lives until the file changes, and says so") {
    const Applied applied = configuration->apply({"other.yaml", text("m")}, {});
    CHECK(applied.note == "this is live until " + path + " changes again");
    configuration->look_for_changes();
    CHECK(table() == "0 2048 linear m 0\n");
    CHECK(configuration->apply({path, text("a")}, {}).note.empty());
    CHECK(configuration->apply({path, text("a")}, {}).changes.empty());
}

TEST_CASE_FIXTURE(Edited, "configuration: what is sent stays in the data_roots") {
    const Folder elsewhere;
    const auto with_store = [&](const std::string& at) {
        std::string sent = text("a");
        return sent.insert(sent.find("devices:"),
                           "  b: { type: file, path: " + at + ", size: 1MiB, create: true }\n");
    };
    CHECK(refusal(with_store(elsewhere / "b")) == "forbidden");
    CHECK(refusal(with_store(folder / "../b")) == "forbidden");
    std::filesystem::create_directory_symlink(elsewhere.path, folder / "link");
    CHECK(refusal(with_store(folder / "link/b")) == "forbidden");
    CHECK(std::filesystem::is_empty(elsewhere.path));
    CHECK(refusal(text("a", "include: [ /etc/passwd ]\n")) == "forbidden");
    CHECK(refusal(text("a", "data_roots: [ / ]\n")) == "data-roots");
    CHECK(refusal(with_store(folder / "b")) == "applied");
    // The file itself may do all that, and say what others may.
    save(text("a", "data_roots: [ " + elsewhere.path.string() + " ]\n"));
    configuration->look_for_changes();
    CHECK(refusal(with_store(folder / "c")) == "forbidden");
    CHECK(refusal(with_store(elsewhere / "c")) == "applied");
    CHECK(refusal(text("a")) == "applied");  // Who says nothing of roots keeps them.
    CHECK(running->state()->spec.data_roots.size() == 1);
}

TEST_CASE_FIXTURE(Edited, "configuration: all that is live can be saved and loaded again") {
    running->load("d", {config::TableText::Form::dm, "0 1000 linear m 24\n1000 8 zero"});
    running->resume("d", false);
    const LiveConfig::Live live = configuration->live();
    CHECK(live.generation == 2);
    CHECK(configuration->plan({"again", live.yaml}).empty());
    CHECK(configuration->plan({"file", text("a")}).size() == 1);
    save(live.yaml);
    configuration->look_for_changes();
    CHECK(running->generation() == 2);
}

TEST_CASE("configuration: the command line goes before the file, at each reload") {
    const Folder folder;
    Overrides overrides;
    overrides.seed = 5;
    overrides.listen = {*config::parse_listen("unix:" + (folder / "mine"))};
    Edited edited;
    edited.configuration.reset();
    edited.running->drain(std::chrono::seconds(1));
    edited.running.reset();
    edited.start(overrides);
    edited.save(edited.text("m", "seed: 9\n"));
    edited.configuration->look_for_changes();
    CHECK(edited.running->generation() == 2);
    CHECK(edited.running->seed() == 5);
    CHECK(edited.running->uris() == std::vector{"nbd+unix:///?socket=" + (folder / "mine")});
}

TEST_CASE_FIXTURE(Edited, "configuration: every reload is counted and told, whoever asked for it") {
    // Whoever watches a server must see that its file was refused.
    const auto reader = running->feed().listen();
    const auto heard = [&] {
        std::string all;
        char part[4096];
        while (const auto bytes = reader
                                      ->take(
                                          part, [] {}, [] {})
                                      .value_or(0)) {
            all.append(part, bytes);
        }
        return all;
    };
    const auto counts = [&] {
        const LiveConfig::Reloads now = configuration->reloads();
        return std::vector<std::uint64_t>{now.generation, now.successes, now.failures,
                                          now.last_successful};
    };
    CHECK(counts() == std::vector<std::uint64_t>{1, 0, 0, 1});
    save("version: [");
    configuration->look_for_changes();
    CHECK(counts() == std::vector<std::uint64_t>{1, 0, 1, 0});
    CHECK(
        heard().find("event: reload\ndata: {\"successful\":false,\"generation\":1,\"message\":\"" +
                     path + ":1:") != std::string::npos);
    save(text("m"));
    configuration->reload();
    CHECK(counts() == std::vector<std::uint64_t>{2, 1, 1, 1});
    CHECK(heard() ==
          "event: reload\ndata: {\"successful\":true,\"generation\":2,\"message\":"
          "\"0 to add, 1 to change, 0 to remove\"}\n\n");
    CHECK(refusal(text("nothing")) == "unknown-device");
    CHECK(counts() == std::vector<std::uint64_t>{2, 1, 2, 0});
    CHECK(refusal(text("a")) == "applied");
    CHECK(counts() == std::vector<std::uint64_t>{3, 2, 2, 1});
    // One who comes too late did nothing wrong, and nothing is wrong with what is live.
    CHECK_THROWS_AS(configuration->apply({"late", text("m")}, {.if_generation = 2}), ReloadError);
    CHECK(counts() == std::vector<std::uint64_t>{3, 2, 2, 1});
}
