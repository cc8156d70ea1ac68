/* The systems that Rollout connects, as its own front end knows them (rollout-facts 3), and what they are
 * for. */
#include "rollout/rollout.h"

static const struct rollout_connector connectors[] = {
    /* customer relations */
    {"boldtrail", {"crm"}},
    {"brivity", {"crm"}},
    {"cinc", {"crm"}},
    {"cloze", {"crm"}},
    {"cloze-api-key", {"crm"}},
    {"constant-contact", {"crm"}},
    {"follow-up-boss", {"crm"}},
    {"highlevel", {"crm"}},
    {"hubspot", {"crm"}},
    {"kw-command", {"crm"}},
    {"liondesk", {"crm"}},
    {"lofty", {"crm"}},
    {"real-geeks", {"crm"}},
    {"sierra-interactive", {"crm"}},
    {"sure-send", {"crm", "mortgage-crm"}},
    {"wise-agent", {"crm"}},
    /* transactions */
    {"boldtrail-backoffice", {"tms"}},
    {"docusign", {"tms"}},
    {"dotloop", {"tms"}},
    {"open-to-close", {"tms"}},
    {"rezen", {"tms"}},
    {"sisu", {"tms"}},
    {"skyslope", {"tms"}},
    /* loans */
    {"encompass", {"los"}},
    /* mail and calendars */
    {"gmail", {"email", "calendar"}},
    {"gmail-otp", {"email", "calendar"}},
};

const struct rollout_connector *rollout_connectors(size_t *count)
{
    *count = sizeof connectors / sizeof *connectors;
    return connectors;
}
