//! What S3 calls access control, as views: nothing is public, and the project owns what is in its
//! buckets. Who may do what stands in the policy. A client that sets what is so anyway is told that
//! it is; whatever else it sets is refused.

use s3s::dto::{
    AccessControlPolicy, BucketCannedACL, GetBucketAclInput, GetBucketAclOutput,
    GetBucketOwnershipControlsInput, GetBucketOwnershipControlsOutput, GetBucketPolicyInput,
    GetBucketPolicyOutput, GetBucketPolicyStatusInput, GetBucketPolicyStatusOutput,
    GetObjectAclInput, GetObjectAclOutput, GetPublicAccessBlockInput, GetPublicAccessBlockOutput,
    Grant, Grantee, ObjectCannedACL, ObjectOwnership, Owner, OwnershipControls,
    OwnershipControlsRule, Permission, PolicyStatus, PublicAccessBlockConfiguration,
    PutBucketAclInput, PutBucketAclOutput, PutBucketOwnershipControlsInput,
    PutBucketOwnershipControlsOutput, PutObjectAclInput, PutObjectAclOutput,
    PutPublicAccessBlockInput, PutPublicAccessBlockOutput, Type,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use super::{Handlers, call_of, ok, place, verify_xml};
use crate::s3::error::not_served;
use crate::vault::{Holding, ReadAsk};

/// The one grant of an ACL: the owner's.
fn full_control(owner: &Owner) -> Vec<Grant> {
    vec![Grant {
        grantee: Some(Grantee {
            display_name: owner.display_name.clone(),
            email_address: None,
            id: owner.id.clone(),
            type_: Type::from_static(Type::CANONICAL_USER),
            uri: None,
        }),
        permission: Some(Permission::from_static(Permission::FULL_CONTROL)),
    }]
}

/// Whether a list is the one that is shown: all rights for the owner, and for nobody else. Clients
/// set it so that carry a list from an object to its copy.
fn is_shown(list: &AccessControlPolicy, owner: &Owner) -> bool {
    let same = |id: &Option<String>| id.is_some() && *id == owner.id;
    let full = |grant: &Grant| {
        let all = grant.permission.as_ref();
        let to = grant.grantee.as_ref();
        all.is_some_and(|all| all.as_str() == Permission::FULL_CONTROL)
            && to.is_some_and(|to| same(&to.id) && to.uri.is_none() && to.email_address.is_none())
    };
    let hers = list.owner.as_ref().is_none_or(|named| same(&named.id));
    hers && matches!(list.grants.as_deref(), Some([grant]) if full(grant))
}

/// A grant in the form of S3's policies, with the actions of this policy's own words.
fn statement(held: &Holding, bucket: &str) -> serde_json::Value {
    let actions = held.actions.iter();
    let actions: Vec<String> = actions.map(|action| format!("kluis:{action}")).collect();
    let mut when = serde_json::json!({
        "DateGreaterThanEquals": { "aws:CurrentTime": held.starts.to_string() },
    });
    if let (Some(when), Some(end)) = (when.as_object_mut(), held.expires) {
        let until = serde_json::json!({ "aws:CurrentTime": end.to_string() });
        let _none: Option<serde_json::Value> = when.insert("DateLessThan".to_owned(), until);
    }
    serde_json::json!({
        "Sid": held.id.to_string(),
        "Effect": if held.denies { "Deny" } else { "Allow" },
        "Principal": { "AWS": [held.principal.as_str()] },
        "Action": actions,
        "Resource": [
            format!("arn:aws:s3:::{bucket}"),
            format!("arn:aws:s3:::{bucket}/{}*", held.prefix),
        ],
        "Condition": when,
    })
}

/// Sees that an ACL is the one that is there: the owner's, by its short name or as it is shown.
/// There is no other, as in a bucket of Amazon's whose objects are its owner's
/// (`BucketOwnerEnforced`).
fn owners_own(
    canned: Option<&str>,
    list: Option<&AccessControlPolicy>,
    owner: &Owner,
) -> S3Result<()> {
    let so = match (canned, list) {
        (Some(canned), None) => canned == "bucket-owner-full-control",
        (None, Some(list)) => is_shown(list, owner),
        (None, None) | (Some(_), Some(_)) => false,
    };
    if so {
        return Ok(());
    }
    Err(S3Error::with_message(
        S3ErrorCode::AccessControlListNotSupported,
        "The bucket does not allow ACLs: who may do what stands in the policy.",
    ))
}

impl Handlers {
    /// Says that a bucket is its owner's.
    pub(super) async fn put_bucket_acl(
        &self,
        request: S3Request<PutBucketAclInput>,
    ) -> S3Result<S3Response<PutBucketAclOutput>> {
        let call = call_of(&request)?;
        verify_xml(&request)?;
        let asked = request.input;
        let canned = asked.acl.as_ref().map(BucketCannedACL::as_str);
        let owner = self.owner(&asked.bucket);
        owners_own(canned, asked.access_control_policy.as_ref(), &owner)?;
        self.vault.affirm(&call, &asked.bucket, "acl").await?;
        ok(PutBucketAclOutput::default())
    }

    /// Says that an object is the bucket's owner's.
    pub(super) async fn put_object_acl(
        &self,
        request: S3Request<PutObjectAclInput>,
    ) -> S3Result<S3Response<PutObjectAclOutput>> {
        let call = call_of(&request)?;
        verify_xml(&request)?;
        let asked = request.input;
        let canned = asked.acl.as_ref().map(ObjectCannedACL::as_str);
        let owner = self.owner(&asked.bucket);
        owners_own(canned, asked.access_control_policy.as_ref(), &owner)?;
        let place = place(&asked.bucket, &asked.key, asked.version_id.as_deref())?;
        self.vault.affirm_object(&call, place, "acl").await?;
        ok(PutObjectAclOutput::default())
    }

    /// Says that what is written belongs to the bucket's owner.
    pub(super) async fn put_bucket_ownership_controls(
        &self,
        request: S3Request<PutBucketOwnershipControlsInput>,
    ) -> S3Result<S3Response<PutBucketOwnershipControlsOutput>> {
        let call = call_of(&request)?;
        verify_xml(&request)?;
        let asked = request.input;
        let enforced = |rule: &OwnershipControlsRule| {
            rule.object_ownership.as_str() == ObjectOwnership::BUCKET_OWNER_ENFORCED
        };
        if !matches!(asked.ownership_controls.rules.as_slice(), [rule] if enforced(rule)) {
            return Err(not_served("another owner of objects than the bucket's"));
        }
        let said = "ownership=BucketOwnerEnforced";
        self.vault.affirm(&call, &asked.bucket, said).await?;
        ok(PutBucketOwnershipControlsOutput::default())
    }

    /// Says that nothing is public.
    pub(super) async fn put_public_access_block(
        &self,
        request: S3Request<PutPublicAccessBlockInput>,
    ) -> S3Result<S3Response<PutPublicAccessBlockOutput>> {
        let call = call_of(&request)?;
        verify_xml(&request)?;
        let asked = request.input;
        let block = asked.public_access_block_configuration;
        let all = [
            block.block_public_acls,
            block.block_public_policy,
            block.ignore_public_acls,
            block.restrict_public_buckets,
        ];
        if all != [Some(true); 4] {
            return Err(not_served("a bucket that may be public"));
        }
        let said = "public access blocked";
        self.vault.affirm(&call, &asked.bucket, said).await?;
        ok(PutPublicAccessBlockOutput::default())
    }

    /// A bucket's ACL.
    pub(super) async fn get_bucket_acl(
        &self,
        request: S3Request<GetBucketAclInput>,
    ) -> S3Result<S3Response<GetBucketAclOutput>> {
        let call = call_of(&request)?;
        let bucket = &request.input.bucket;
        let _row = self.vault.head_dataset(&call, bucket).await?;
        let owner = self.owner(bucket);
        ok(GetBucketAclOutput {
            grants: Some(full_control(&owner)),
            owner: Some(owner),
        })
    }

    /// An object's ACL.
    pub(super) async fn get_object_acl(
        &self,
        request: S3Request<GetObjectAclInput>,
    ) -> S3Result<S3Response<GetObjectAclOutput>> {
        let call = call_of(&request)?;
        let asked = request.input;
        let place = place(&asked.bucket, &asked.key, asked.version_id.as_deref())?;
        let ask = ReadAsk::default();
        let _seen = self.vault.head_object(&call, place, ask).await?;
        let owner = self.owner(&asked.bucket);
        ok(GetObjectAclOutput {
            grants: Some(full_control(&owner)),
            owner: Some(owner),
            ..GetObjectAclOutput::default()
        })
    }

    /// Who may do what with a bucket, as the policy has it.
    pub(super) async fn get_bucket_policy(
        &self,
        request: S3Request<GetBucketPolicyInput>,
    ) -> S3Result<S3Response<GetBucketPolicyOutput>> {
        let call = call_of(&request)?;
        let bucket = &request.input.bucket;
        let held = self.vault.holdings(&call, bucket).await?;
        let statements: Vec<serde_json::Value> =
            held.iter().map(|held| statement(held, bucket)).collect();
        let document = serde_json::json!({
            "Version": "2012-10-17",
            "Id": "kluis",
            "Statement": statements,
        });
        ok(GetBucketPolicyOutput {
            policy: Some(document.to_string()),
        })
    }

    /// Nothing is public.
    pub(super) async fn get_bucket_policy_status(
        &self,
        request: S3Request<GetBucketPolicyStatusInput>,
    ) -> S3Result<S3Response<GetBucketPolicyStatusOutput>> {
        let call = call_of(&request)?;
        let bucket = &request.input.bucket;
        let _row = self.vault.head_dataset(&call, bucket).await?;
        ok(GetBucketPolicyStatusOutput {
            policy_status: Some(PolicyStatus {
                is_public: Some(false),
            }),
        })
    }

    /// What is written belongs to the bucket's owner, whoever wrote it.
    pub(super) async fn get_bucket_ownership_controls(
        &self,
        request: S3Request<GetBucketOwnershipControlsInput>,
    ) -> S3Result<S3Response<GetBucketOwnershipControlsOutput>> {
        let call = call_of(&request)?;
        let bucket = &request.input.bucket;
        let _row = self.vault.head_dataset(&call, bucket).await?;
        let rule = OwnershipControlsRule {
            object_ownership: ObjectOwnership::from_static(ObjectOwnership::BUCKET_OWNER_ENFORCED),
        };
        ok(GetBucketOwnershipControlsOutput {
            ownership_controls: Some(OwnershipControls { rules: vec![rule] }),
        })
    }

    /// Public access is blocked in every way.
    pub(super) async fn get_public_access_block(
        &self,
        request: S3Request<GetPublicAccessBlockInput>,
    ) -> S3Result<S3Response<GetPublicAccessBlockOutput>> {
        let call = call_of(&request)?;
        let bucket = &request.input.bucket;
        let _row = self.vault.head_dataset(&call, bucket).await?;
        ok(GetPublicAccessBlockOutput {
            public_access_block_configuration: Some(PublicAccessBlockConfiguration {
                block_public_acls: Some(true),
                block_public_policy: Some(true),
                ignore_public_acls: Some(true),
                restrict_public_buckets: Some(true),
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::translate::owner_named;

    fn list(owner: Option<&str>, bend: impl FnOnce(&mut Vec<Grant>)) -> AccessControlPolicy {
        let mut grants = full_control(&owner_named("icu"));
        bend(&mut grants);
        AccessControlPolicy {
            grants: Some(grants),
            owner: owner.map(owner_named),
        }
    }

    #[test]
    fn the_list_that_is_shown_may_be_set_and_no_other() {
        let owner = owner_named("icu");
        for shown in [list(Some("icu"), |_| {}), list(None, |_| {})] {
            assert!(owners_own(None, Some(&shown), &owner).is_ok(), "{shown:?}");
            let both = owners_own(Some("bucket-owner-full-control"), Some(&shown), &owner);
            assert!(both.is_err());
        }
        let grantee = |bend: fn(&mut Grantee)| {
            list(None, |grants| grants[0].grantee.as_mut().map_or((), bend))
        };
        for other in [
            list(Some("lab"), |_| {}),
            list(None, Vec::clear),
            list(None, |grants| {
                grants.extend(full_control(&owner_named("icu")));
            }),
            list(None, |grants| grants[0].permission = None),
            list(None, |grants| {
                grants[0].permission = Some(Permission::from_static(Permission::READ));
            }),
            list(None, |grants| grants[0].grantee = None),
            grantee(|to| to.id = None),
            grantee(|to| to.id = Some("lab".to_owned())),
            grantee(|to| {
                to.uri = Some("http://acs.amazonaws.com/groups/global/AllUsers".to_owned());
            }),
            grantee(|to| to.email_address = Some("ana@example.org".to_owned())),
        ] {
            assert!(owners_own(None, Some(&other), &owner).is_err(), "{other:?}");
        }
        for canned in [None, Some("private"), Some("public-read"), Some("")] {
            assert!(owners_own(canned, None, &owner).is_err(), "{canned:?}");
        }
    }
}
