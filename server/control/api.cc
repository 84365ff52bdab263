#include "server/control/api.h"

#include <exception>

#include "config/closest.h"
#include "config/diagnostic.h"
#include "server/control/config_api.h"
#include "server/control/json.h"
#include "server/control/routes.h"
#include "server/control/steps.h"

namespace server::control {
namespace {

constexpr std::string_view config_path = "/v1/config";

Response no_such_path(const std::string& path) {
    std::vector<std::string_view> known;
    for (const Route& route : routes()) {
        if (route.path.find('{') == std::string_view::npos) known.push_back(route.path);
    }
    return problem(404, "no-such-path", "there is no path " + config::in_quotes(path),
                   config::did_you_mean(path, known));
}

Response wrong_method(const std::string& method, const std::string& allow) {
    Response response =
        problem(405, "wrong-method", "this can't be asked with " + config::in_quotes(method),
                "use " + allow);
    response.allow = allow;
    return response;
}

Response refused_step(Live& live, const std::string& device, const StepError& error) {
    switch (error.kind) {
        case StepError::Kind::no_such_device: {
            const std::vector<DeviceInfo> devices = live.devices();
            std::vector<std::string_view> names;
            for (const DeviceInfo& each : devices) names.push_back(each.name);
            return problem(404, error.slug, error.what(), config::did_you_mean(device, names));
        }
        case StepError::Kind::wrong_state:
            return problem(409, error.slug, error.what(), error.help);
        case StepError::Kind::stopping: break;
    }
    return problem(503, error.slug, error.what(), error.help);
}

Response dispatch(Live& live, LiveConfig* config, const Request& request) {
    const FoundRoute found = find_route(request.method, request.path);
    const bool missing = config == nullptr && request.path.starts_with(config_path);
    if (found.route == nullptr || missing) {
        return found.allow.empty() ? no_such_path(request.path)
                                   : wrong_method(request.method, found.allow);
    }
    try {
        return found.route->answer({live, config, request, found.name});
    } catch (const StepError& error) {
        return refused_step(live, found.name, error);
    }
}

}  // namespace

Response problem(unsigned status, const std::string& slug, const std::string& title,
                 const std::string& detail) {
    Json body = {{"type", slug}, {"title", title}, {"status", status}};
    if (!detail.empty()) body["detail"] = detail;
    return {.status = status, .type = "application/problem+json", .body = dump(body)};
}

Response Api::answer(const Request& request) noexcept {
    try {
        return dispatch(live_, config_, request);
    } catch (const Refused& refused) {
        return refused.answer;
    } catch (const StepError& error) {  // While looking for the closest name.
        return problem(503, error.slug, error.what(), error.help);
    } catch (const BadTable& bad) {
        return problem(bad);
    } catch (const ReloadError& error) {
        return problem(error);
    } catch (const dmcore::TableError& error) {
        return problem(error);
    } catch (const std::exception& error) {
        return problem(500, "internal", "the server could not answer", error.what());
    }
}

}  // namespace server::control
