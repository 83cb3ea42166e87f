# For deleting objects: no predefined role does that and nothing else. Name it among `leased_roles`,
# as `projects/PROJECT/roles/jitneyObjectDeleter`, where leases delete.
resource "google_project_iam_custom_role" "object_deleter" {
  project     = var.project
  role_id     = "jitneyObjectDeleter"
  title       = "Jitney: deletes objects"
  description = "For leases of Jitney that delete objects."
  permissions = ["storage.objects.delete"]
}
